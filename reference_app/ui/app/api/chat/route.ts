import { relay } from "@/lib/backend";

export const dynamic = "force-dynamic";

export function POST(request: Request): Promise<Response> {
  return relay(request, { path: "/chat", limitSeconds: 120 }, process.env);
}
