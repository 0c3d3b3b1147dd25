//! A table whose keys are places and generations, so that a key of what is gone finds nothing.

#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Takes a place without putting anything there; [`Slab::fill`] does.
    pub(super) fn reserve(&mut self) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.entries.get(index(place)).map_or(0, |entry| entry.0);
        u64::from(generation) << 32 | u64::from(place)
    }

    pub(super) fn fill(&mut self, key: u64, value: T) {
        if let Some(entry) = self.entry(key) {
            *entry = Some(value);
        }
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.entry(key)?.as_mut()
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        let value = self.entry(key)?.take();
        let (generation, place) = split(key);
        if let Some(entry) = self.entries.get_mut(index(place)) {
            entry.0 = generation.wrapping_add(1);
            self.free.push(place);
        }
        value
    }

    fn entry(&mut self, key: u64) -> Option<&mut Option<T>> {
        let (generation, place) = split(key);
        self.entries.get_mut(index(place)).filter(|entry| entry.0 == generation).map(|entry| &mut entry.1)
    }
}

fn split(key: u64) -> (u32, u32) {
    (u32::try_from(key >> 32).unwrap_or(0), u32::try_from(key & 0xffff_ffff).unwrap_or(0))
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
