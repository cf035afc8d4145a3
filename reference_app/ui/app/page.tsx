import { Assistant } from "@/components/Assistant";
import { describeDeployment } from "@/lib/deployment";

// Rendered for each request: the footer names the release of the container that answers, not of the build.
export const dynamic = "force-dynamic";

export default function Page() {
  const { environment, release } = describeDeployment(process.env);
  return (
    <div className="page">
      <Assistant />
      <footer className="footer">
        <span>
          Environment <strong data-testid="environment">{environment}</strong>
        </span>
        <span>
          Release <strong data-testid="release">{release}</strong>
        </span>
      </footer>
    </div>
  );
}
