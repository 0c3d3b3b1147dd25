//! Things under numbers that are never given twice, in pages: nothing is moved when there are more of them.

use std::mem;

/// Things on a page.
const ON_A_PAGE: usize = 32;

/// How many bits of a number say where a thing lies; the others say which of those that have lain there it is.
const PLACE_BITS: u32 = 28;

/// Pages without things that are kept.
const SPARE: usize = 16;

/// Things under numbers that are never given twice, so that the number of what is gone finds nothing.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<V> {
    pages: Vec<Page<V>>,
    /// Pages that have memory and room, the one that was used last at the end; some may have lost the one or the other.
    open: Vec<usize>,
    /// Pages without memory.
    bare: Vec<usize>,
    /// Pages with memory and no things.
    empty: usize,
    len: usize,
}

#[derive(Clone, Debug)]
struct Page<V> {
    slots: Option<Box<[Slot<V>; ON_A_PAGE]>>,
    /// One bit for each slot: whether it is taken.
    taken: u32,
    /// How many numbers it has given.
    given: u64,
    /// Whether it is among the open ones.
    is_open: bool,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    number: u64,
    /// Nothing yet where the number is only reserved.
    value: Option<V>,
}

impl<V> Slot<V> {
    /// No number ends like this one.
    const FREE: Self = Self { number: u64::MAX, value: None };
}

impl<V> Numbered<V> {
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new(), open: Vec::new(), bare: Vec::new(), empty: 0, len: 0 }
    }

    /// How many numbers are in use, the reserved ones included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// A number for what [`Numbered::fill`] will put there; [`Numbered::remove`] gives it back.
    pub(crate) fn reserve(&mut self) -> u64 {
        let place = self.page_with_room();
        let page = &mut self.pages[place];
        let slot = page.taken.trailing_ones() as usize;
        self.empty -= usize::from(page.taken == 0);
        page.taken |= 1 << slot;
        page.given += 1;
        self.len += 1;
        let number = page.given << PLACE_BITS | (place * ON_A_PAGE + slot) as u64;
        if let Some(slots) = &mut page.slots {
            slots[slot].number = number;
        }
        number
    }

    /// Puts something where a number was reserved; one that was given back takes nothing. Whether it is there now.
    pub(crate) fn fill(&mut self, number: u64, value: V) -> bool {
        let slot = self.slot_mut(number);
        slot.map(|slot| slot.value = Some(value)).is_some()
    }

    pub(crate) fn get(&self, number: u64) -> Option<&V> {
        self.at(place_of(number)).filter(|(own, _)| *own == number).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut V> {
        self.slot_mut(number)?.value.as_mut()
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<V> {
        let value = mem::replace(self.slot_mut(number)?, Slot::FREE).value;
        let (place, slot) = home(number);
        let page = &mut self.pages[place];
        page.taken &= !(1 << slot);
        self.len -= 1;
        if page.taken == 0 {
            self.emptied(place);
        } else if !mem::replace(&mut page.is_open, true) {
            self.open.push(place);
        }
        value
    }

    /// The number, and the thing, that lies at a place now.
    pub(crate) fn at(&self, place: u32) -> Option<(u64, &V)> {
        let (page, slot) = home(u64::from(place));
        let slot = &self.pages.get(page)?.slots.as_ref()?[slot];
        slot.value.as_ref().map(|value| (slot.number, value))
    }

    fn slot_mut(&mut self, number: u64) -> Option<&mut Slot<V>> {
        let (place, slot) = home(number);
        let slot = &mut self.pages.get_mut(place)?.slots.as_mut()?[slot];
        (slot.number == number).then_some(slot)
    }

    fn page_with_room(&mut self) -> usize {
        while let Some(&place) = self.open.last() {
            let page = &mut self.pages[place];
            if page.slots.is_some() && page.taken != u32::MAX {
                return place;
            }
            page.is_open = false;
            self.open.pop();
        }
        let place = self.bare.pop().unwrap_or_else(|| {
            self.pages.push(Page { slots: None, taken: 0, given: 0, is_open: false });
            self.pages.len() - 1
        });
        let page = &mut self.pages[place];
        page.slots = Some(Box::new([Slot::FREE; ON_A_PAGE]));
        page.is_open = true;
        self.open.push(place);
        self.empty += 1;
        place
    }

    /// A page has lost its last thing. A few such pages stay, the memory of the others goes back.
    fn emptied(&mut self, place: usize) {
        let page = &mut self.pages[place];
        if self.empty < SPARE {
            self.empty += 1;
            if !mem::replace(&mut page.is_open, true) {
                self.open.push(place);
            }
            return;
        }
        page.slots = None;
        self.bare.push(place);
    }
}

/// Where the thing of a number lies.
pub(crate) const fn place_of(number: u64) -> u32 {
    (number & ((1 << PLACE_BITS) - 1)) as u32
}

/// The page of a number, and the slot on it.
const fn home(number: u64) -> (usize, usize) {
    let place = place_of(number) as usize;
    (place / ON_A_PAGE, place % ON_A_PAGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Random;

    #[test]
    fn a_number_is_never_given_twice() {
        let mut things = Numbered::new();
        let first = things.reserve();
        things.fill(first, 'a');
        assert_eq!(things.remove(first), Some('a'));
        let second = things.reserve();
        things.fill(second, 'b');
        assert!(!things.fill(first, 'c'));
        assert!(things.get_mut(first).is_none() && things.remove(first).is_none());
        assert_eq!((things.get(first), things.get(second), things.len()), (None, Some(&'b'), 1));
    }

    #[test]
    fn what_is_reserved_holds_nothing_and_can_be_given_back() {
        let mut things = Numbered::<char>::new();
        let number = things.reserve();
        assert_eq!((things.len(), things.get(number)), (1, None));
        assert_eq!((things.remove(number), things.len()), (None, 0));
    }

    #[test]
    fn things_come_and_go_as_in_a_map() {
        let mut random = Random::from_number(4);
        let (mut things, mut model, mut gone) = (Numbered::new(), BTreeMap::new(), Vec::new());
        for step in 0..200_000_u64 {
            // It grows to thousands and shrinks to a few, again and again.
            let grows = if step / 20_000 % 2 == 0 { 6 } else { 2 };
            if random.u64() % 8 < grows {
                let number = things.reserve();
                things.fill(number, step);
                assert_eq!(model.insert(number, step), None);
            } else if let Some(number) = model.keys().nth(random.u64() as usize % model.len().clamp(1, 50)).copied() {
                assert_eq!(things.remove(number), model.remove(&number));
                gone.push(number);
            }
            assert_eq!(things.len(), model.len());
        }
        assert!(model.iter().all(|(number, value)| things.get(*number) == Some(value)));
        assert!(gone.iter().all(|number| things.get(*number).is_none()));
    }

    #[test]
    fn a_storm_leaves_a_few_pages() {
        let mut things = Numbered::new();
        let with_memory = |things: &Numbered<u64>| things.pages.iter().filter(|page| page.slots.is_some()).count();
        for _ in 0..3 {
            let numbers: Vec<u64> = (0..100_000).map(|_| things.reserve()).collect();
            assert!(numbers.iter().all(|number| things.fill(*number, 0)));
            assert_eq!(with_memory(&things), 100_000 / ON_A_PAGE, "no more than that, with the spare ones used again");
            assert!(numbers.iter().all(|number| things.remove(*number) == Some(0)));
            assert!(with_memory(&things) <= SPARE, "{}", with_memory(&things));
        }
    }
}
