/** Keeps a failure of its children from taking the whole page away. */
import { Component, type ComponentChildren } from 'preact';

interface Props {
  /** What the children show; another subject is tried anew. */
  readonly subject: unknown;
  readonly instead: (error: unknown) => ComponentChildren;
  readonly children: ComponentChildren;
}

interface State {
  readonly failure?: { readonly error: unknown; readonly subject: unknown } | undefined;
}

export class FailureGuard extends Component<Props, State> {
  override state: State = {};

  override componentDidCatch(error: unknown): void {
    this.setState({ failure: { error, subject: this.props.subject } });
  }

  override render({ subject, instead, children }: Props, { failure }: State): ComponentChildren {
    return failure !== undefined && failure.subject === subject ? instead(failure.error) : children;
  }
}
