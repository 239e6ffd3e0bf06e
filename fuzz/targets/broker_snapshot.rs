//! A shard's snapshot: any bytes are a state that holds together, or an error. The first two bytes are the
//! length of a program that is run with the state; the program follows them, the snapshot is the rest.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_broker::Shard;
use swarmmq_fuzz::{input::Input, memory::bounded, replicas::Replicas};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let program = input.long();
    let bytes = Bytes::copy_from_slice(input.rest());
    let most = 1024 * data.len() + (1 << 20);
    let Ok(shard) = bounded(most, || Shard::restore(std::slice::from_ref(&bytes))) else { return };
    let middle = bytes.len() / 2;
    let cut = Shard::restore(&[bytes.slice(..middle), bytes.slice(middle..)]).map(|shard| shard.snapshot());
    assert!(cut.is_ok_and(|cut| cut == shard.snapshot()), "where a snapshot is cut changes nothing");
    bounded((16 << 20) + 2048 * data.len(), || Replicas::new(&shard).run(&mut Input::new(program)));
});
