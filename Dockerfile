# Container image of Couchgate. The final stage has no compiler and no tests, and runs as an unprivileged
# user.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No dependency needs its install script: native modules are prebuilt.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src src
RUN npx tsc -p src/tsconfig.build.json && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production COUCHGATE_DATA=/data COUCHGATE_LISTEN=0.0.0.0:5984
# New volumes inherit the owner of these folders.
RUN mkdir /data /secrets && chown node:node /data /secrets && chmod 700 /data /secrets
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY config config
USER node
EXPOSE 5984
VOLUME /data
# Queries the health listener, which is reachable only inside the container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9984/readyz').then((res) => process.exit(res.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]
