/** The few line drawings of the page, 16 × 16. */

const PATHS = {
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14',
  close: 'M4 4l8 8M12 4l-8 8',
  chevron: 'M6 4l4 4-4 4',
  down: 'M4 6l4 4 4-4',
  up: 'M4 10l4-4 4 4',
  copy: 'M6 5.5h7v8H6zM10 5.5v-3H3v8h3',
  check: 'M3 8.5l3.2 3.2L13 5',
  link: 'M6.5 9.5l3-3M7.5 4.5l1.2-1.2a2.8 2.8 0 0 1 4 4L11.5 8.5M8.5 11.5l-1.2 1.2a2.8 2.8 0 0 1-4-4L4.5 7.5',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3.1 3.1l1 1M11.9 11.9l1 1M12.9 3.1l-1 1M4.1 11.9l-1 1',
  moon: 'M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z',
  auto: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 2v12M8 5.5h4.6M8 8h6M8 10.5h4.6',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.2 6.3a1.9 1.9 0 1 1 2.6 1.9c-.5.2-.8.5-.8 1.1M8 11.2v.1',
  refresh: 'M13.5 8A5.5 5.5 0 1 1 11.8 4M12 1.5v3H9',
  error: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 5v3.6M8 11v.1',
  warning: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.1',
  expand: 'M3 3h10v10H3zM8 5.5v5M5.5 8h5',
  collapse: 'M3 3h10v10H3zM5.5 8h5',
  zoom: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14M5 7h4M7 5v4',
  clock: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.8V8l2.2 1.6',
} as const;

export type IconName = keyof typeof PATHS;

/** Decorative: whatever holds it carries the name. */
export function Icon({ name, filled = false }: { name: IconName; filled?: boolean }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" data-filled={filled}>
      <path d={PATHS[name]} />
    </svg>
  );
}
