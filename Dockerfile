# Container image of Couchgate. The final stage has no compiler and no tests, and runs as an unprivileged
# user (uid 1000).
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No dependency needs its install script: native modules are prebuilt.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY config config
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund
# COPY keeps the modes of the checkout. After a `umask 077`, the user of the final stage could not read them.
RUN chmod -R a+rX package.json config

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production COUCHGATE_DATA=/data COUCHGATE_LISTEN=0.0.0.0:5984
# New volumes inherit the owner of these folders.
RUN mkdir -p /data /backups /secrets/admin /secrets/couchdb /secrets/jwt /secrets/session \
  && chown -R node:node /data /backups /secrets && chmod -R 700 /data /backups /secrets
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/config config
USER node
EXPOSE 5984
# Queries the health listener, which is reachable only inside the container. A shell takes a few milliseconds
# of CPU time; Node would take a hundred times as much.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9984 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]
ENTRYPOINT ["node", "dist/main.js"]
