/** What is asked for. Every finished field changes the address, and the address asks. */
import { useEffect } from 'preact/hooks';
import { isDuration, tidyDuration } from '../../format/duration';
import { ANYTHING, MOST_TRACES, type SearchQuery } from '../../model/search-query';
import { Combobox } from '../../parts/combobox';
import { Icon } from '../../parts/icon';
import { TextField } from '../../parts/text-field';
import { useLive } from '../../state/live';
import { zone } from '../../state/preferences';
import { loadOperations, loadServices, operationNames, serviceNames } from '../../state/search-answers';
import { Conditions } from './conditions';
import { TimeRange } from './time-range';

interface Props {
  readonly query: SearchQuery;
  readonly onQuery: (query: SearchQuery) => void;
  readonly onRepeat: () => void;
}

const LIMITS = [20, 50, 100, 200, 500, MOST_TRACES];

export function QueryBar({ query, onQuery, onRepeat }: Props) {
  const services = useLive(serviceNames);
  const operations = useLive(operationNames);
  const shownZone = useLive(zone);
  useEffect(() => void loadServices(), []);
  useEffect(() => void loadOperations(query.service), [query.service]);
  const limits = LIMITS.includes(query.limit) ? LIMITS : [...LIMITS, query.limit].sort((one, other) => one - other);
  const duration = { tidy: tidyDuration, valid: isDuration, complaint: 'A duration such as 300ms or 1.2s' };
  return (
    <form class="query-bar" role="search" aria-label="Traces" onSubmit={(event) => event.preventDefault()}>
      <Combobox
        label="Service"
        placeholder="Any"
        value={query.service}
        options={services}
        onFocus={() => void loadServices()}
        onCommit={(service) => onQuery({ ...query, service, operation: '' })}
      />
      <Combobox
        label="Operation"
        placeholder="Any"
        value={query.operation}
        options={operations}
        onCommit={(operation) => onQuery({ ...query, operation })}
      />
      <Conditions conditions={query.where} onChange={(where) => onQuery({ ...query, where })} />
      <div class="field-pair">
        <TextField label="Longer than" placeholder="e.g. 300ms" value={query.min} {...duration} onCommit={(min) => onQuery({ ...query, min })} />
        <TextField label="Shorter than" placeholder="e.g. 2s" value={query.max} {...duration} onCommit={(max) => onQuery({ ...query, max })} />
      </div>
      <TimeRange start={query.start} end={query.end} zone={shownZone} onChange={(start, end) => onQuery({ ...query, start, end })} />
      <div class="field limit">
        <label for="limit">Limit</label>
        <select id="limit" value={String(query.limit)} onChange={(event) => onQuery({ ...query, limit: Number(event.currentTarget.value) })}>
          {limits.map((limit) => (
            <option key={limit} value={String(limit)}>{limit}</option>
          ))}
        </select>
      </div>
      <div class="query-actions">
        <button type="button" class="button button-primary" onClick={onRepeat}>
          <Icon name="search" />
          Search
        </button>
        <button type="button" class="icon-button" title="Clear all conditions" aria-label="Clear all conditions" onClick={() => onQuery(ANYTHING)}>
          <Icon name="close" />
        </button>
      </div>
    </form>
  );
}
