/** Mounts the page: the top bar, and below it what the address says. */
import { render } from 'preact';
import { useState } from 'preact/hooks';
import { ANYTHING } from './model/search-query';
import { SearchPage } from './pages/search/search-page';
import { KeyHelp } from './pages/trace/key-help';
import { TracePage } from './pages/trace/trace-page';
import { FailureGuard } from './parts/failure-guard';
import { Notice } from './parts/notice';
import { useKeys } from './parts/page-keys';
import { ServerNotices } from './parts/server-notices';
import { TopBar } from './parts/top-bar';
import { traceAddress, wholeTraceId } from './route/route';
import { failureOf } from './state/failure';
import { useLive } from './state/live';
import { followAddressBar, go, route } from './state/location';
import { followTheme, letterKeys, theme } from './state/preferences';
import { askForNotices, closeNotices, notices } from './state/server-notices';
import './style/tokens.css';
import './style/base.css';
import './style/search.css';
import './style/trace.css';

function App() {
  const [help, showHelp] = useState(false);
  const shownTheme = useLive(theme);
  useKeys((key) => {
    if (key !== '?' || !letterKeys.value) return false;
    showHelp(true);
    return true;
  });
  return (
    <>
      <TopBar
        theme={shownTheme}
        onTheme={(next) => theme.set(next)}
        onHome={home}
        traceId={wholeTraceId}
        onTrace={(id) => go({ page: 'trace', address: traceAddress(id) })}
        onHelp={() => showHelp(true)}
      />
      <ServerNotices told={useLive(notices)} onClose={closeNotices} />
      <Page />
      {help && <KeyHelp onClose={() => showHelp(false)} />}
    </>
  );
}

function Page() {
  const shown = useLive(route);
  return (
    <FailureGuard subject={shown} instead={(error) => <Broken error={error} />}>
      {shown.page === 'search' ? <SearchPage query={shown.query} /> : <TracePage address={shown.address} />}
    </FailureGuard>
  );
}

function Broken({ error }: { readonly error: unknown }) {
  const { title, detail } = failureOf(error);
  return (
    <main class="search-page">
      <Notice icon="error" tone="error" title={title}>
        <p>{detail}</p>
        <button type="button" class="button" onClick={() => window.location.reload()}>Load it again</button>
      </Notice>
    </main>
  );
}

function home(): void {
  // A query of its own, so that going home again asks again.
  go({ page: 'search', query: { ...ANYTHING } });
}

followTheme();
followAddressBar();
void askForNotices();
const app = document.getElementById('app');
if (app !== null) render(<App />, app);
