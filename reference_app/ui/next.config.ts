import type { NextConfig } from "next";

const config: NextConfig = {
  output: "standalone",
  // Without this, a lock file in a folder above would move server.js to another place in the output.
  outputFileTracingRoot: __dirname,
  // Traced, but never used when serving: the image library (the page has no raster images) and the compiler that
  // reads this file at build time. Without them the container is some 40 MB smaller.
  images: { unoptimized: true },
  outputFileTracingExcludes: { "*": ["node_modules/sharp/**", "node_modules/@img/**", "node_modules/typescript/**"] },
  poweredByHeader: false,
  // The image build must be fast; types are held by `npm run typecheck`, which CI runs.
  typescript: { ignoreBuildErrors: true },
  eslint: { ignoreDuringBuilds: true },
};

export default config;
