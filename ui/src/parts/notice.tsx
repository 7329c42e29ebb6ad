/** A calm box in the middle of a page that has nothing else to show. */
import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from './icon';

interface Props {
  readonly icon: IconName;
  readonly title: string;
  readonly tone?: 'plain' | 'error';
  readonly children?: ComponentChildren;
}

export function Notice({ icon, title, tone = 'plain', children }: Props) {
  return (
    <section class={`notice notice-${tone}`} role={tone === 'error' ? 'alert' : undefined}>
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </section>
  );
}
