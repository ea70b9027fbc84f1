# One image for all roles; the subcommand chooses: `proxy --config FILE`, `check FILE...`, `explain`, `demo`.
#
#   docker build -t sidelane .                       # `--target shop`: the services of the demo, see deploy/compose
#   docker run --read-only --cap-drop=all -v "$PWD/deploy:/etc/sidelane:ro" sidelane check /etc/sidelane/sidelane.yaml
#
# NODE_IMAGE swaps the base (a mirror, a hardened Node 24; `npm run test:image` uses one it makes itself).
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
# Both secrets are optional and never part of a layer: an npmrc for a private registry, a CA bundle for a network that
# opens TLS (`--secret id=npmrc,src=$HOME/.npmrc --secret id=ca,src=FILE`). No dependency needs an install script.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.ts scripts/
COPY src src/
# --ignore-scripts: the pre-script installs the pinned Node of a checkout; this stage already has one.
# What goes next is read by people and editors only.
RUN npm run build --ignore-scripts \
 && npm prune --omit=dev --ignore-scripts --offline --no-audit --no-fund \
 && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM ${NODE_IMAGE} AS sidelane
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="sidelane" \
      org.opencontainers.image.description="A routing sidecar: an environment for every developer, pull request and test" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV NODE_ENV=production
# For `sidelane intercept` in an init container: 4 MB with its libraries. A base without apt has to bring it along.
RUN command -v iptables-nft-restore > /dev/null \
 || { apt-get update && apt-get install --yes --no-install-recommends iptables \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt /usr/share/doc/* /usr/share/man/*; }
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=build /build/node_modules node_modules/
COPY --from=build /build/dist dist/
COPY schema schema/
# For `docker exec`, health checks of docker compose, and whoever bases an image on this one.
RUN ln -s /app/dist/main.js /usr/local/bin/sidelane
# All that is ever written: tables that sidecars keep, and the store of a control plane. For any user id, which a volume
# mounted here takes over.
RUN install --directory --mode=1777 /var/lib/sidelane
# A number, because Kubernetes' runAsNonRoot cannot check a name; any other number works too.
USER 65532:65532
STOPSIGNAL SIGTERM
# No HEALTHCHECK: orchestrators ask `GET /ready` and `GET /live` of the admin address themselves, with their own
# deadlines; a check in here would start a second Node beside every sidecar, every few seconds.
# Run by its first line, where the flags of Node stand.
ENTRYPOINT ["/app/dist/main.js"]
CMD ["--help"]

# The services of the demo, for deploy/compose: the same files, another program.
FROM sidelane AS shop
ENTRYPOINT ["node", "/app/dist/demo/container.js"]
CMD []

FROM sidelane
