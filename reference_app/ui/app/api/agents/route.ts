import { relay } from "@/lib/backend";

export const dynamic = "force-dynamic";

export function GET(request: Request): Promise<Response> {
  return relay(request, { path: "/agents", limitSeconds: 10 }, process.env);
}
