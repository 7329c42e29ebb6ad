/** One row of the tree: guides, fold, marks, operation and service. */
import { countOf, formatCount } from '../../format/count';
import { formatDuration } from '../../format/duration';
import { at } from '../../model/column';
import { descendants, hasChildren, hasFlag, nameOf, RowFlag, serviceOf, type Trace } from '../../model/trace';
import { Icon } from '../../parts/icon';
import { type ChipColor, colorStyle } from '../../parts/service-chip';
import { ROW_HEIGHT } from './geometry';

interface Props {
  readonly trace: Trace;
  readonly row: number;
  /** Among the shown rows. */
  readonly place: number;
  readonly indent: number;
  readonly step: number;
  readonly color: ChipColor;
  readonly collapsed: boolean;
  readonly active: boolean;
  readonly selected: boolean;
  readonly matched: boolean;
  readonly onSelect: (row: number) => void;
  readonly onToggle: (row: number) => void;
}

export function WaterfallRow(props: Props) {
  const { trace, row, place, indent, step, color, collapsed, active, selected, matched } = props;
  const service = serviceOf(trace, row);
  const name = nameOf(trace, row);
  const parent = hasChildren(trace, row);
  return (
    <div
      role="row"
      class="row"
      tabIndex={active ? 0 : -1}
      aria-level={at(trace.depth, row) + 1}
      aria-expanded={parent ? !collapsed : undefined}
      aria-rowindex={place + 1}
      aria-selected={selected}
      aria-label={spoken(trace, row)}
      data-match={matched}
      data-row={row}
      style={{ top: `${place * ROW_HEIGHT}px`, ...colorStyle(color) }}
      onClick={() => props.onSelect(row)}
    >
      <div role="gridcell" class="row-name" title={`${service}: ${name}`}>
        {indent > 0 && <span class="guides" style={{ width: `${indent}px`, '--step': `${step}px` }} />}
        {parent ? (
          <span
            class="fold"
            data-open={!collapsed}
            onClick={(event) => {
              event.stopPropagation();
              props.onToggle(row);
            }}
          >
            <Icon name="chevron" />
          </span>
        ) : (
          <span class="fold" />
        )}
        <span class="stripe" />
        {hasFlag(trace, row, RowFlag.error) && <span class="row-mark error-text" title="Error"><Icon name="error" /></span>}
        {hasFlag(trace, row, RowFlag.missingParent) && (
          <span class="row-mark warning-text" title="Its parent is not in this trace"><Icon name="warning" /></span>
        )}
        <span class="row-operation">{name}</span>
        <span class="row-service">{service}</span>
        {collapsed && <span class="row-hidden">+{formatCount(descendants(trace, row))}</span>}
      </div>
    </div>
  );
}

/** What a screen reader says: the bars tell it nothing. */
function spoken(trace: Trace, row: number): string {
  const words = [
    nameOf(trace, row),
    serviceOf(trace, row),
    formatDuration(at(trace.length, row)),
    `starts at ${formatDuration(at(trace.start, row))}`,
  ];
  if (hasFlag(trace, row, RowFlag.error)) words.push('error');
  if (hasFlag(trace, row, RowFlag.missingParent)) words.push('parent missing');
  if (hasChildren(trace, row)) words.push(countOf(descendants(trace, row), 'descendant'));
  return words.join(', ');
}
