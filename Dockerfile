# Three stages: the page, the program, and nothing but the program.
FROM node:22-bookworm-slim AS page
WORKDIR /page
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --ignore-scripts --include=dev
COPY ui/ ./
RUN npm run build

FROM rust:1.95-bookworm AS program
WORKDIR /tracelodge
COPY Cargo.toml Cargo.lock build.rs ./
COPY build/ build/
COPY config/ config/
COPY proto/ proto/
COPY src/ src/
COPY benches/ benches/
COPY examples/ examples/
COPY --from=page /page/dist /page
# Static, so that the last stage needs no C library. The target is named so that build scripts stay dynamic.
ENV PAGE_BUILD=prebuilt:/page RUSTFLAGS="-C target-feature=+crt-static"
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && cargo build --release --locked --bin tracelodge --target "$target" \
    && install -D "target/$target/release/tracelodge" /image/tracelodge \
    && mkdir -p /image/data

FROM scratch
COPY --from=program /image/tracelodge /tracelodge
COPY --from=program --chown=65532:65532 /image/data /data
USER 65532:65532
VOLUME /data
# Inside a container only its own network can reach it; what is published is decided by who runs it. The agent's doors (UDP)
# stay closed to others until they are given an address: docs/jaeger-clients.md.
ENV TRACELODGE_DATA_DIR=/data TRACELODGE_DOORS_HOST=0.0.0.0
EXPOSE 4317 4318 5778 5779 9411 14250 14268 14269 16685 16686 17271 17272
ENTRYPOINT ["/tracelodge"]
