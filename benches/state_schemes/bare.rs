//! The bound: a table, and no snapshots.

use crate::generator::Row;
use crate::output::Output;
use crate::scheme::{Scheme, Settings};
use crate::table::{STAGE_ROWS, Table};
use crate::writer::Checkpoint;

pub(crate) struct Bare {
    table: Table,
}

impl Scheme for Bare {
    fn pool_records(_: usize) -> usize {
        0
    }

    fn new(settings: Settings, output: &mut Output) -> Self {
        output.finish(Checkpoint {
            epoch: 0,
            first_epoch: 0,
        });
        Self {
            table: Table::new(settings.keys.iter(), settings.huge_pages),
        }
    }

    fn update(&mut self, rows: &[Row], _: &mut Output) {
        for rows in rows.chunks(STAGE_ROWS) {
            let homes = self.table.fetch(rows);
            for (row, home) in rows.iter().zip(homes) {
                let position = self.table.position(row.key, home);
                self.table.bucket_mut(position.bucket).values[position.slot] += row.value;
            }
        }
    }

    fn barrier(&mut self, _: &mut Output) {}

    fn slice(&mut self, _: &mut Output) {}

    fn sum(&self, key: u64) -> i64 {
        self.table.value(key)
    }
}
