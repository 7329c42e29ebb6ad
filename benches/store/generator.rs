//! Spans as they would arrive: whole traces are planned, each service's part of one is late by itself.
//!
//! Seeded, so every run makes the same spans. Bodies are slices of one arena a batch, put together from pieces that
//! were encoded beforehand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bytes::Bytes;
use tracelodge::model::{
    ContentHasher, Origin, Resource, Scope, Span, SpanId, StatusCode, Timestamp, TraceId,
};

use crate::demo;
use crate::operation::Operation;
use crate::piece::Draft;
use crate::random::Random;
use crate::services;

/// The first span's start.
pub(crate) const EPOCH: Timestamp = Timestamp(1_780_000_000_000_000_000);

/// Between two spans: 20 000 spans a second.
const NANOS_PER_SPAN: u64 = 50_000;

/// Resources of one service.
pub(crate) const INSTANCES: usize = 3;

/// One planned trace in so many is remembered for questions.
const REMEMBERED: u64 = 500;

/// Values of `enduser.id`.
pub(crate) const USERS: u64 = 100_000;

/// Which spans are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub(crate) shape: Shape,
    /// Spans by which a service's part of a trace is late at most.
    pub(crate) window: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// 20 services of 10 operations each.
    Services,
    /// The same with three attributes more that nothing compresses.
    Hard,
    /// The OpenTelemetry demo's kind of traces.
    Demo,
}

/// Services, what they run in and do, and how their traces look.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) services: Vec<String>,
    pub(crate) operations: Vec<Operation>,
    /// `INSTANCES` for each service, in their order.
    pub(crate) resources: Vec<Resource>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) plan: Plan,
}

/// Plans one trace: parents before their children.
pub(crate) type Plan = fn(&Model, &mut Random, &mut Vec<Step>);

/// A span of a trace that is being planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Its parent's place among the steps.
    pub(crate) parent: Option<usize>,
    pub(crate) operation: usize,
    pub(crate) failed: bool,
}

/// What a span was made in.
#[derive(Debug)]
struct Source {
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    hasher: ContentHasher,
}

/// A trace to be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remembered {
    pub(crate) trace_id: TraceId,
    pub(crate) spans: usize,
    /// It is whole once so many spans have been planned.
    due: u64,
}

#[derive(Debug)]
pub(crate) struct Generator {
    model: Model,
    sources: Vec<Source>,
    random: Random,
    window: u64,
    planned_traces: u64,
    planned_spans: u64,
    /// Groups by when they arrive.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    /// Drafts of one trace and service, in no order; empty ones are free.
    groups: Vec<Vec<Draft>>,
    free: Vec<usize>,
    /// What is left of the group that arrived last.
    arrived: Vec<Draft>,
    /// When that was.
    arrived_at: u64,
    /// Bodies of the latest batch.
    arena: Bytes,
    steps: Vec<Step>,
    drafts: Vec<Draft>,
    remembered: Vec<Remembered>,
}

impl Generator {
    pub(crate) fn new(data: Data) -> Self {
        let mut random = Random::new(7);
        let model = match data.shape {
            Shape::Services => services::model(false, &mut random),
            Shape::Hard => services::model(true, &mut random),
            Shape::Demo => demo::model(&mut random),
        };
        Self {
            sources: sources(&model),
            model,
            random,
            window: data.window,
            planned_traces: 0,
            planned_spans: 0,
            due: BinaryHeap::new(),
            groups: Vec::new(),
            free: Vec::new(),
            arrived: Vec::new(),
            arrived_at: 0,
            arena: Bytes::new(),
            steps: Vec::new(),
            drafts: Vec::new(),
            remembered: Vec::new(),
        }
    }

    /// The next spans to arrive.
    pub(crate) fn batch(&mut self, spans: usize) -> Vec<Span> {
        let mut arena = self.empty_arena(spans);
        let mut made = Vec::with_capacity(spans);
        while made.len() < spans {
            let draft = self.next_draft();
            let start = arena.len();
            let operation = &self.model.operations[usize::from(draft.operation)];
            operation.write(&mut arena, &draft, &mut self.random);
            let hash = self.sources[usize::from(draft.source)].hasher.hash(&arena[start..]);
            made.push((draft, start..arena.len(), hash));
        }
        self.arena = Bytes::from(arena);
        let span = |(draft, place, hash)| self.span(&draft, self.arena.slice(place), hash);
        made.into_iter().map(span).collect()
    }

    /// The one of the batch before, once nobody holds spans of it: fresh memory costs as much as filling it.
    fn empty_arena(&mut self, spans: usize) -> Vec<u8> {
        if !self.arena.is_unique() {
            return Vec::with_capacity(spans * 640);
        }
        let mut arena = Vec::from(std::mem::take(&mut self.arena));
        arena.clear();
        arena
    }

    /// The time of day when the last batch had arrived.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(EPOCH.nanos() + self.planned_spans * NANOS_PER_SPAN)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Traces of which every span has arrived, from all over the time.
    pub(crate) fn whole_traces(&self) -> Vec<Remembered> {
        self.remembered.iter().copied().filter(|trace| trace.due < self.arrived_at).collect()
    }

    /// Spans of a trace, on average.
    pub(crate) fn spans_per_trace(&self) -> f64 {
        self.planned_spans as f64 / self.planned_traces as f64
    }

    fn span(&self, draft: &Draft, body: Bytes, content_hash: u64) -> Span {
        let source = &self.sources[usize::from(draft.source)];
        Span {
            trace_id: TraceId(draft.trace_id),
            span_id: SpanId(draft.span_id),
            parent_id: Some(SpanId(draft.parent_id)).filter(|id| id.0 != [0; 8]),
            start: Timestamp(draft.start),
            end: Timestamp(draft.end),
            kind: self.model.operations[usize::from(draft.operation)].kind,
            status: if draft.failed { StatusCode::Error } else { StatusCode::Unset },
            origin: Origin::Otlp,
            flags: 0x101,
            content_hash,
            resource: Arc::clone(&source.resource),
            scope: Arc::clone(&source.scope),
            body,
        }
    }

    fn next_draft(&mut self) -> Draft {
        loop {
            if let Some(draft) = self.arrived.pop() {
                return draft;
            }
            while self.due.peek().is_none_or(|Reverse((due, _))| *due > self.planned_spans) {
                self.plan_trace();
            }
            if let Some(Reverse((due, group))) = self.due.pop() {
                self.arrived_at = due;
                std::mem::swap(&mut self.arrived, &mut self.groups[group]);
                self.free.push(group);
            }
        }
    }

    fn plan_trace(&mut self) {
        self.steps.clear();
        (self.model.plan)(&self.model, &mut self.random, &mut self.steps);
        self.draft_steps();
        self.drafts.sort_by_key(|draft| self.model.operations[usize::from(draft.operation)].service);
        let trace_id = TraceId(self.drafts[0].trace_id);
        let spans = self.drafts.len();
        let due = self.delay_services();
        if self.planned_traces.is_multiple_of(REMEMBERED) {
            self.remembered.push(Remembered { trace_id, spans, due });
        }
        self.planned_traces += 1;
        self.planned_spans += spans as u64;
    }

    /// Gives the steps ids and times: children lie inside their parents.
    fn draft_steps(&mut self) {
        let random = &mut self.random;
        let trace_id = (u128::from(random.next()) << 64 | u128::from(random.next() | 1)).to_be_bytes();
        let user = random.below(USERS) as u32;
        let instance = random.index(INSTANCES);
        let start = EPOCH.nanos() + self.planned_spans * NANOS_PER_SPAN + random.below(NANOS_PER_SPAN);
        self.drafts.clear();
        for step in &self.steps {
            let operation = &self.model.operations[step.operation];
            let (parent_id, start, duration) = match step.parent.map(|place| &self.drafts[place]) {
                None => ([0; 8], start, root_duration(random)),
                Some(parent) => {
                    let whole = parent.end - parent.start;
                    let start = parent.start + random.below(whole / 2 + 1);
                    let longest = parent.end - start;
                    (parent.span_id, start, longest / 16 + random.below(longest * 7 / 8 + 1))
                }
            };
            self.drafts.push(Draft {
                trace_id,
                span_id: (random.next() | 1).to_be_bytes(),
                parent_id,
                start,
                end: start + duration,
                operation: step.operation as u16,
                source: ((operation.service * INSTANCES + instance) * self.model.scopes.len()
                    + operation.scope) as u16,
                user,
                failed: step.failed,
            });
        }
    }

    /// Sends the drafts of each service on their way, and tells when the last ones arrive.
    fn delay_services(&mut self) -> u64 {
        let mut last = 0;
        let service = |draft: &Draft| self.model.operations[usize::from(draft.operation)].service;
        for part in self.drafts.chunk_by(|one, other| service(one) == service(other)) {
            let group = self.free.pop().unwrap_or_else(|| {
                self.groups.push(Vec::new());
                self.groups.len() - 1
            });
            self.groups[group].extend_from_slice(part);
            let due = self.planned_spans + self.random.below(self.window);
            self.due.push(Reverse((due, group)));
            last = last.max(due);
        }
        last
    }
}

/// From one millisecond to one second, the short as common as the long.
fn root_duration(random: &mut Random) -> u64 {
    let least = 1 << (20 + random.below(10));
    least + random.below(least)
}

fn sources(model: &Model) -> Vec<Source> {
    let scopes: Vec<_> = model.scopes.iter().cloned().map(Arc::new).collect();
    let in_resource = |resource: &Resource| {
        let resource = Arc::new(resource.clone());
        let in_scope = |scope: &Arc<Scope>| Source {
            hasher: ContentHasher::new(&resource, scope),
            resource: Arc::clone(&resource),
            scope: Arc::clone(scope),
        };
        scopes.iter().map(in_scope).collect::<Vec<_>>()
    };
    model.resources.iter().flat_map(in_resource).collect()
}
