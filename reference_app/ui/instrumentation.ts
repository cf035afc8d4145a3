/** Next.js calls this once, when the server starts. */
export async function register(): Promise<void> {
  if (process.env.NEXT_RUNTIME === "nodejs") {
    const { drainOn } = await import("./lib/drain");
    drainOn(process, "SIGTERM");
  }
}
