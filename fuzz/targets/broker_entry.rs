//! Entries of a shard's log: any bytes are an entry or an error, and an entry does the same to every
//! replica. The first byte chooses the state they begin with, the rest is a program for the replicas.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_broker::{Shard, ShardLimits};
use swarmmq_fuzz::{fixtures, input::Input, memory::bounded, replicas::Replicas};

static FULL: LazyLock<Shard> = LazyLock::new(|| {
    Shard::restore(&[Bytes::from(fixtures::unhex(fixtures::SNAPSHOT))]).expect("the fixture is a snapshot")
});

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let full = LazyLock::force(&FULL);
    let tight = ShardLimits { destinations_max: 3, groups_max: 2, message_bytes_max: 256, retire_max: 1 };
    bounded(1024 * data.len() + (16 << 20), || {
        let shard = match input.u8() % 3 {
            0 => return Replicas::new(full).run(&mut input),
            1 => Shard::new(0, ShardLimits::default()),
            _ => Shard::new(7, tight),
        };
        Replicas::new(&shard).run(&mut input);
    });
});
