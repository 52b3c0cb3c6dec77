//! A set of an arena's blocks, one bit for each place where one can begin.

use super::archive::ARCHIVE_ALIGNMENT;
use super::arena::BlockRef;

/// Blocks that begin at multiples of [`ARCHIVE_ALIGNMENT`].
#[derive(Default)]
pub(super) struct BlockSet {
    /// By extent, 64 places a number.
    extents: Vec<Vec<u64>>,
}

impl BlockSet {
    /// Takes a block out; says whether it was in.
    pub(super) fn remove(&mut self, block: BlockRef) -> bool {
        let (extent, place) = place(block);
        let word = self
            .extents
            .get_mut(extent)
            .and_then(|places| places.get_mut(place / 64));
        let bit = 1 << (place % 64);
        match word {
            Some(word) if *word & bit != 0 && block.offset().is_multiple_of(ARCHIVE_ALIGNMENT) => {
                *word &= !bit;
                true
            }
            _ => false,
        }
    }

    /// Its blocks, in the order in which they lie.
    pub(super) fn iter(&self) -> impl Iterator<Item = BlockRef> {
        let words = self
            .extents
            .iter()
            .enumerate()
            .flat_map(|(extent, places)| {
                let words = places.iter().enumerate();
                words.map(move |(number, word)| (extent, number, *word))
            });
        words.flat_map(|(extent, number, word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| BlockRef::new(extent, (number * 64 + bit) * ARCHIVE_ALIGNMENT))
        })
    }

    fn insert(&mut self, block: BlockRef) {
        let (extent, place) = place(block);
        if self.extents.len() <= extent {
            self.extents.resize_with(extent + 1, Vec::new);
        }
        let places = &mut self.extents[extent];
        if places.len() <= place / 64 {
            places.resize(place / 64 + 1, 0);
        }
        places[place / 64] |= 1 << (place % 64);
    }
}

impl FromIterator<BlockRef> for BlockSet {
    fn from_iter<T: IntoIterator<Item = BlockRef>>(blocks: T) -> Self {
        let mut set = Self::default();
        blocks.into_iter().for_each(|block| set.insert(block));
        set
    }
}

fn place(block: BlockRef) -> (usize, usize) {
    (block.extent(), block.offset() / ARCHIVE_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_taken_out_once_and_the_others_stay() {
        let blocks = [(0, 0), (0, 16), (0, 1024), (3, 32), (3, 1 << 20)];
        let blocks = blocks.map(|(extent, offset)| BlockRef::new(extent, offset));
        let mut set: BlockSet = blocks.into_iter().collect();
        assert!(set.iter().eq(blocks));
        for absent in [(0, 24), (0, 32), (1, 0), (3, 0), (4, 0), (3, 2 << 20)] {
            assert!(!set.remove(BlockRef::new(absent.0, absent.1)), "{absent:?}");
        }
        assert!(set.remove(blocks[1]) && !set.remove(blocks[1]));
        assert!(set.remove(blocks[4]));
        assert!(set.iter().eq([blocks[0], blocks[2], blocks[3]]));
    }
}
