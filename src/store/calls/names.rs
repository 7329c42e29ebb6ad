//! Names of services and operations as small numbers, so that counting compares and hashes numbers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::key::shortened;

/// Every name once, as keys have it ([`shortened`]).
#[derive(Debug, Default)]
pub(super) struct Names {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Names {
    /// The number of a name that was numbered before.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(&*shortened(name)).copied()
    }

    /// The number of a name.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        let name = shortened(name);
        if let Some(&number) = self.numbers.get(&*name) {
            return number;
        }
        let (number, text) = (self.texts.len() as u32, Arc::<str>::from(&*name));
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// The name of a number that was given here.
    pub(super) fn text(&self, number: u32) -> &Arc<str> {
        &self.texts[number as usize]
    }
}
