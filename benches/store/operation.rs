//! What services do: the spans of one name and kind, put together from pieces.

use tracelodge::model::SpanKind;

use crate::piece::{Draft, Piece, failure, head, sampled};
use crate::random::Random;

/// Pieces of which each span has one.
type Choice = Vec<Piece>;

/// Spans of one service, name and kind.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Which of the services.
    pub(crate) service: usize,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    /// Which of the model's scopes.
    pub(crate) scope: usize,
    root: Piece,
    child: Piece,
    choices: Vec<Choice>,
    failures: Choice,
    end: Piece,
}

impl Operation {
    pub(crate) fn new(service: usize, name: &str, kind: SpanKind, scope: usize) -> Self {
        Self {
            service,
            name: name.to_owned(),
            kind,
            scope,
            root: head(name, kind, true),
            child: head(name, kind, false),
            choices: Vec::new(),
            failures: vec![failure("unavailable")],
            end: sampled(),
        }
    }

    /// What every span has.
    pub(crate) fn always(self, pieces: impl IntoIterator<Item = Piece>) -> Self {
        self.one_of([Piece::joined(pieces)])
    }

    /// Of which every span has one.
    pub(crate) fn one_of(mut self, pieces: impl IntoIterator<Item = Piece>) -> Self {
        self.choices.push(pieces.into_iter().collect());
        self
    }

    /// What one span of so many has.
    pub(crate) fn one_in(self, spans: usize, piece: Piece) -> Self {
        let without = std::iter::repeat_n(Piece::default(), spans - 1);
        self.one_of(std::iter::once(piece).chain(without))
    }

    /// Of which every failed span has one: events and status.
    pub(crate) fn failing(mut self, pieces: impl IntoIterator<Item = Piece>) -> Self {
        self.failures = pieces.into_iter().collect();
        self
    }

    /// Appends the message of a span.
    pub(crate) fn write(&self, out: &mut Vec<u8>, draft: &Draft, random: &mut Random) {
        let head = if draft.parent_id == [0; 8] { &self.root } else { &self.child };
        head.write(out, draft, random);
        for choice in &self.choices {
            let piece = if choice.len() == 1 { &choice[0] } else { &choice[random.index(choice.len())] };
            piece.write(out, draft, random);
        }
        if draft.failed {
            self.failures[random.index(self.failures.len())].write(out, draft, random);
        }
        self.end.write(out, draft, random);
    }
}
