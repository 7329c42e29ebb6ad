/** A link within the page: a plain click stays here, any other does what browsers do. */
import type { ComponentChildren, JSX } from 'preact';

interface Props extends Omit<JSX.AnchorHTMLAttributes<HTMLAnchorElement>, 'onClick'> {
  readonly href: string;
  readonly onFollow: () => void;
  readonly children: ComponentChildren;
}

export function Link({ href, onFollow, children, ...rest }: Props) {
  return (
    <a
      {...rest}
      href={href}
      onClick={(event) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        onFollow();
      }}
    >
      {children}
    </a>
  );
}
