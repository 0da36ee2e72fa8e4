# Builder and final stage are both Debian 12, so the binary finds the C library that it was linked against.
ARG RUST=1.95-slim-bookworm

FROM rust:${RUST} AS build
WORKDIR /source
COPY . .
# The target folder is a cache mount and no layer, so the binary has to be copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin portcullis \
 && cp target/release/portcullis /portcullis \
 && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /portcullis /usr/local/bin/portcullis
# The journal: what keeps a rollback latched over a restart. Each container needs a volume of its own there.
COPY --from=build --chown=65532:65532 /data /var/lib/portcullis
VOLUME /var/lib/portcullis
# Relative paths of the configuration, such as that of the token file, hold here.
WORKDIR /etc/portcullis
# `nonroot` of the base image, as a number, so that Kubernetes can see that it is not root.
USER 65532:65532
# The proxy's own port and the admin port of the documented configurations.
EXPOSE 8080 9090
# The image has no shell and no curl. With a token file PORTCULLIS_TOKEN has to hold a viewer's token, and with
# an admin listener elsewhere PORTCULLIS_ADMIN its address.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["/usr/local/bin/portcullis", "status", "--json"]
ENTRYPOINT ["/usr/local/bin/portcullis"]
CMD ["run", "--config", "/etc/portcullis/portcullis.yaml", "--data", "/var/lib/portcullis"]
