# Couchgate as a container: built in one stage, run in another that holds neither the compiler nor the tests, by a user without rights.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No package of ours needs its install script: what is native comes prebuilt.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src src
RUN npx tsc -p src/tsconfig.build.json && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production COUCHGATE_DATA=/data COUCHGATE_LISTEN=0.0.0.0:5984
# New volumes take the owner of these folders.
RUN mkdir /data /secrets && chown node:node /data /secrets && chmod 700 /data /secrets
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY config config
USER node
EXPOSE 5984
VOLUME /data
# Asks the health listener, which is reachable inside the container only.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9984/readyz').then((res) => process.exit(res.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]
