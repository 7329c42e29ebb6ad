/** A fresh start: where to send the first trace, until it comes. */
import type { ServerStatus } from '../../model/server-status';
import { CopyButton } from '../../parts/copy-button';

export function Welcome({ status }: { readonly status: ServerStatus }) {
  const otlp = status.doors.filter((door) => /otlp/i.test(door.name));
  const first = otlp[0];
  const http = otlp.find((door) => door.address.endsWith(':4318')) ?? otlp.at(-1);
  return (
    <section class="welcome">
      <p class="waiting" role="status">
        <span class="pulse" />
        Waiting for the first trace
      </p>
      <h2>Point a program here</h2>
      <p>Any OpenTelemetry SDK will do. Set its endpoint, run it, and its traces appear on this page by themselves.</p>
      {first !== undefined && <Setting title="OTLP over gRPC" lines={settings(first.address, 'grpc')} />}
      {http !== undefined && <Setting title="OTLP over HTTP" lines={settings(http.address, 'http/protobuf')} />}
      {status.doors.length > 0 && (
        <>
          <h3>Open doors</h3>
          <dl class="doors">
            {status.doors.map((door) => (
              <div key={`${door.name} ${door.address}`}>
                <dt>{door.name}</dt>
                <dd>{door.address}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
    </section>
  );
}

function Setting({ title, lines }: { readonly title: string; readonly lines: string }) {
  return (
    <div class="setting">
      <header>
        <span>{title}</span>
        <CopyButton text={() => lines} label="Copy" wide />
      </header>
      <pre>{lines}</pre>
    </div>
  );
}

/** What a shell takes. An address that means "all" becomes the one this page was reached by. */
function settings(address: string, protocol: string): string {
  const scheme = address.startsWith('https://') ? 'https' : 'http';
  const place = address.replace('https://', '');
  const port = place.slice(place.lastIndexOf(':') + 1);
  const host = place.slice(0, place.lastIndexOf(':'));
  const reachable = host === '0.0.0.0' || host === '[::]' || host === '' ? window.location.hostname : host;
  return [
    `export OTEL_EXPORTER_OTLP_ENDPOINT=${scheme}://${reachable}:${port}`,
    `export OTEL_EXPORTER_OTLP_PROTOCOL=${protocol}`,
  ].join('\n');
}
