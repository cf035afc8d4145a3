export type Environment = Readonly<Record<string, string | undefined>>;

export interface Deployment {
  release: string;
  environment: string;
}

/**
 * Which release serves, and where. The variables come in as an object because Next.js replaces a literal
 * `process.env.NEXT_PUBLIC_…` by its value at build time, and one image serves every environment.
 */
export function describeDeployment(variables: Environment): Deployment {
  return {
    release: variables["RELEASE"]?.trim() || "unknown",
    environment: variables["NEXT_PUBLIC_ENVIRONMENT"]?.trim() || variables["ENVIRONMENT"]?.trim() || "development",
  };
}
