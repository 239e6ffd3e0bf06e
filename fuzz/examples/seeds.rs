//! Writes `seeds/<target>/`: the fixtures of the crates in the form the targets read, and the shapes of
//! published vulnerabilities in decoders.
//!
//! ```sh
//! cargo run --release --manifest-path fuzz/Cargo.toml --example seeds
//! ```
//!
//! Seeds of faults that fuzzing has found are in the same folders and are left alone.

use std::path::Path;
use std::{fs, io};

use swarmmq_fuzz::fixtures::{self, frames, unhex};

/// Names and bytes of a target's seeds.
type Seeds = Vec<(String, Vec<u8>)>;

fn seed(name: &str, parts: &[&[u8]]) -> (String, Vec<u8>) {
    (name.to_owned(), parts.concat())
}

/// Behind a length of two bytes.
fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

fn native_frames() -> Seeds {
    // Options and the cuts: none, or every 1 and 7 bytes.
    let (whole, cut): (&[u8], &[u8]) = (&[1, 0], &[1, 2, 1, 7]);
    let mut seeds: Seeds = frames().map(|(name, bytes)| seed(name, &[whole, &bytes])).collect();
    let all: Vec<u8> = frames().take(12).flat_map(|(_, bytes)| bytes).collect();
    seeds.push(seed("many-cut", &[cut, &all]));
    // A length of 4 GiB, one below the header, and a count that no body of this size can hold.
    seeds.push(seed("length-4-gib", &[whole, &[0xff; 4], &[2, 0, 0, 0], &[0; 8]]));
    seeds.push(seed("length-zero", &[whole, &[0; 16]]));
    seeds.push(seed("handshake-too-large", &[&[0, 0], &[0, 0, 0x20, 0, 1, 0, 0, 0], &[0; 8]]));
    let body = [&[5, 0, 1, b'd', 0, 1, b'g', 1][..], &[0xff; 4]].concat();
    let length = 12 + body.len() as u8;
    seeds.push(seed("count-4-giga", &[whole, &[0, 0, 0, length, 2, 0, 0, 0], &[0; 8], &body]));
    seeds
}

/// Bodies of the frames of one kind.
fn bodies(kind: u8) -> Seeds {
    let of_kind = frames().filter(|(_, bytes)| bytes[4] == kind);
    of_kind.map(|(name, bytes)| (name.to_owned(), bytes[16..].to_vec())).collect()
}

fn message() -> Seeds {
    let deliveries = frames().find(|(name, _)| *name == "delivery").map(|(_, bytes)| bytes);
    let puts = frames().find(|(name, _)| *name == "put").map(|(_, bytes)| bytes);
    let mut seeds = Seeds::new();
    if let Some(bytes) = deliveries {
        // A delivery of one: count, receipt, attempts, time, length, message.
        seeds.push(seed("plain", &[&bytes[16 + 4 + 16 + 4 + 8 + 4..]]));
    }
    if let Some(bytes) = puts {
        // The second message of the put begins with its version, its priority and all flags.
        let at = bytes.windows(2).rposition(|pair| pair == [1, 9]).unwrap_or(0);
        seeds.push(seed("full", &[&bytes[at..]]));
    }
    let headers = [&[1, 5, 1, 0][..], &[0; 16], &[0xff; 6]].concat();
    seeds.push(seed("headers-65535", &[&headers]));
    seeds
}

fn durable_envelope() -> Seeds {
    let lines = |name: &str, text: &str| seed(name, &[&[0], text.as_bytes()]);
    let receipt = "000000000000002a000000000000feed";
    let mut seeds = vec![
        lines("put", "SWMQ1\n7\nPUT\norders\nhello"),
        lines(
            "put-full",
            "SWMQ1\n7\nPUT\norders\nhello\nid=01234567-89ab-cdef-0011-223344556677\npriority=9\n\
             timestamp-ms=1700000000000\nttl-ms=60000\ndelay-ms=250\nkey=k\ncorrelation=c\nreply-to=replies\n\
             producer=till-4\nsession=0123456789abcdef0011223344556677\nepoch=1\nsequence=2\nexpect-last=41\n\
             header:content%3Dtype=text/plain\nheader:100%25=1",
        ),
        lines("pull", "SWMQ1\n7\nPULL\norders\nmax=10\ngroup=billing\nwait-ms=1000\nlease-ms=5000"),
        lines("subscribe", "SWMQ1\n7\nSUBSCRIBE\norders\ncredit=256\ngroup=billing\nlease-ms=5000"),
        lines("unsubscribe", "client\n\nSWMQ1\n7\nUNSUBSCRIBE"),
        lines("credit", "SWMQ1\n7\nCREDIT\n64"),
        lines("ack", &format!("SWMQ1\n7\nACK\norders\n{receipt}\n{receipt}\ngroup=billing")),
        lines("nack", &format!("SWMQ1\n7\nNACK\norders\n{receipt}\ndelay-ms=100")),
        lines("extend", &format!("SWMQ1\n7\nEXTEND\norders\n{receipt}\nlease-ms=100")),
        lines("reject", &format!("SWMQ1\n7\nREJECT\norders\n{receipt}\nreason=broken")),
        lines("create", "SWMQ1\n7\nCREATE\norders\nkind=stream"),
        lines("describe", "a\nb\n\nSWMQ1\n7\nDESCRIBE\norders"),
        lines("ping", "\nSWMQ1\n\nPING"),
        lines("other-version", "SWMQ2\n7\nPING"),
        lines("number-too-large", "SWMQ1\n7\nPULL\norders\nmax=99999999999999999999999"),
        lines("number-negative", "SWMQ1\n7\nCREDIT\n-1"),
        lines("option-twice", "SWMQ1\n7\nPUT\norders\nhello\nkey=a\nkey=b"),
        lines("escape-cut", "SWMQ1\n7\nPUT\norders\nhello\nheader:a%2=b"),
    ];
    let frame = |bytes: &[u8]| [&[bytes.len() as u8][..], bytes].concat();
    let binary: Vec<u8> =
        [&b"SWMQ1"[..], b"7", b"PUT", b"orders", &[0, 10, 255], b"key=\0\xff"].map(frame).concat();
    seeds.push(seed("put-binary", &[&[1], &binary]));
    // More frames than a message may have, all empty.
    seeds.push(seed("frames-600", &[&[1], &[0; 600]]));
    seeds.push(seed("address-of-20", &[&[1], &[1, b'a'].repeat(20), &[0], &frame(b"SWMQ1")]));
    seeds
}

/// Messages of peers, as the target reads them: 240 and more are words of the protocols.
fn services() -> Seeds {
    let ready_01: &[u8] = &[97, 1, 4, 240, 243, 245, 251];
    let ready_02: &[u8] = &[99, 1, 3, 244, 245, 251];
    let request_01: &[u8] = &[96, 1, 4, 240, 241, 251, 1, b'a'];
    let request_02: &[u8] = &[98, 1, 4, 242, 245, 251, 1, b'a'];
    // The peer answers what it was sent last: REPLY, PARTIAL, FINAL.
    let (reply_01, partial_02, final_02): (&[u8], &[u8], &[u8]) = (&[1, 1, 2], &[3, 1, 2], &[3, 1, 3]);
    let pirate: &[u8] = &[97, 1, 1, 245, 96, 1, 2, 240, 1, b'a', 1, 1, 0];
    vec![
        seed("reply", &[ready_01, request_01, reply_01]),
        seed("parts", &[ready_02, request_02, partial_02, final_02]),
        seed("mixed", &[ready_02, request_01, partial_02, final_02, ready_01, request_02, reply_01]),
        seed("worker-gone", &[ready_01, ready_02, request_01, request_02, &[253, 0], final_02]),
        seed("silence", &[ready_01, request_01, &[96, 255], &[1, 240], &[96, 255, 1, 240]]),
        seed("management", &[ready_01, &[96, 1, 4, 240, 241, 252, 251], &[96, 1, 4, 240, 241, 254, 240]]),
        seed("disconnect", &[ready_01, &[97, 1, 3, 240, 243, 249], ready_01]),
        seed("one-frame", &[&[96, 0, 1, 240, 97, 0, 1, 245, 97, 0, 1, 246, 97, 0, 1, 0]]),
        seed("pirate", &[pirate]),
    ]
}

fn tsp() -> Seeds {
    // The queue is read, a worker is there, and a request is stored and answered by it.
    let (opened, worker): (&[u8], &[u8]) = (&[13, 12, 0], &[5 + 16]);
    let store: &[u8] = &[0, 2, 250, 1, b'a'];
    let (done, delivered, replies): (&[u8], &[u8], &[u8]) = (&[8, 0], &[10, 0, 0], &[6 + 16]);
    let (ask, close): (&[u8], &[u8]) = (&[1, 1, 253, 1], &[2, 1, 253, 1]);
    let whole = [opened, worker, store, done, delivered, replies, done, &[10, 1, 0], ask].concat();
    vec![
        seed("answered", &[&whole]),
        seed("closed", &[&whole, close, done, done, ask]),
        seed("waits", &[opened, store, done, delivered, ask, close, done, ask]),
        seed("recovered", &[opened, store, done, &[13, 13], &[10, 0, 0], &[12, 1], worker, replies, done]),
        seed("refused", &[opened, store, &[8, 200], store, &[8, 201], &[13, 13, 12, 0], store]),
        seed("expired", &[opened, store, done, delivered, &[14, 255, 255, 14, 255, 255], ask]),
        seed("not-ids", &[opened, &[1, 1, 31], &[b'a'; 31], &[2, 1, 16], b"../../etc/passwd"]),
        seed("statuses", &[opened, &[1, 2, 251, 253, 1], &[1, 2, 252, 250]]),
    ]
}

fn zmtp() -> Seeds {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    greeting.extend(b"NULL");
    greeting.resize(64, 0);
    let command = |body: &[u8]| [&[4, body.len() as u8][..], body].concat();
    let ready = |properties: &[u8]| command(&[b"\x05READY", properties].concat());
    let dealer = ready(b"\x0bSocket-Type\x00\x00\x00\x06DEALER");
    let named = ready(b"\x0bSocket-Type\x00\x00\x00\x03REQ\x08Identity\x00\x00\x00\x02me");
    let push = ready(b"\x0bSocket-Type\x00\x00\x00\x04PUSH");
    let (cold, done, talks): (&[u8], &[u8], &[u8]) = (&[0, 0], &[2, 2, 1, 5], &[6, 0]);
    let small = b"\x01\x01a\x00\x05hello";
    let large = [&[2][..], &600_u64.to_be_bytes(), &[b'b'; 600]].concat();
    vec![
        seed("handshake", &[cold, &greeting, &dealer, small]),
        seed("handshake-named", &[&[0, 1, 9], &greeting, &named, small, &large]),
        seed("handshake-push", &[&[1, 0], &greeting, &push, b"\x00\x02hi"]),
        seed("push-to-router", &[cold, &greeting, &push]),
        seed("messages", &[done, small, &large, small]),
        seed("ping", &[talks, &command(b"\x04PING\x00\x64ctx"), small]),
        seed("subscribe", &[talks, &command(b"\x09SUBSCRIBEtopic")]),
        // Greetings of ZMTP 2.0 and 1.0, a truncated one, another mechanism, a browser.
        seed("greeting-2", &[cold, &greeting[..10], &[1, 5, 0, 0]]),
        seed("greeting-1", &[cold, &[1, 0, 5], b"hello"]),
        seed("greeting-cut", &[cold, &greeting[..33]]),
        seed("greeting-curve", &[cold, &greeting[..12], b"CURVE", &[0; 47]]),
        seed("browser", &[cold, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]),
        // Lengths of 2^63, of all ones, and of 200 GiB, whose sum with anything must not wrap.
        seed("frame-2-63", &[done, &[2, 0x80, 0, 0, 0, 0, 0, 0, 0]]),
        seed("frame-all-ones", &[done, &[3], &[0xff; 8], b"x"]),
        seed("frame-200-gib", &[done, &[2], &(200_u64 << 30).to_be_bytes(), &[0; 64]]),
        seed("command-2-63", &[cold, &greeting, &[6, 0x80, 0, 0, 0, 0, 0, 0, 0]]),
        // A metadata property whose length is beyond its command, and one larger than a handshake may be.
        seed("property-beyond", &[cold, &greeting, &ready(b"\x0bSocket-Type\x7f\xff\xff\xffDEALER")]),
        seed("property-name-beyond", &[cold, &greeting, &ready(b"\xffSocket")]),
        seed(
            "property-oversized",
            &[cold, &greeting, &[6], &5000_u64.to_be_bytes(), b"\x05READY\x01x\x00\x00\x13\x80"],
        ),
        // Frames without end of one message, and frames that have no bytes.
        seed("parts-without-end", &[done, &[1, 1, b'a'].repeat(200)]),
        seed("parts-empty", &[done, &[1, 0].repeat(300)]),
        seed("reserved-flags", &[done, &[0xf8, 0]]),
    ]
}

fn journal_files() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, bytes) in fixtures::JOURNAL {
        let kind = name.rsplit('.').next().unwrap_or_default();
        let decoders: &[u8] = match kind {
            "manifest" => &[6],
            "mark" => &[5],
            "log" | "cold" if !bytes.is_empty() => &[0, 2],
            "index" => &[3],
            "snap" => &[7],
            _ => &[],
        };
        for decoder in decoders {
            let length = if *decoder == 0 { 128 } else { bytes.len().min(1500) };
            for (how, reseal) in [("", 0), ("-resealed", 8)] {
                seeds.push(seed(&format!("{kind}-{decoder}{how}"), &[&[decoder | reseal], &bytes[..length]]));
            }
        }
        if kind == "cold" {
            seeds.push(seed("record-1", &[&[1], &[0; 4], &bytes[128..]]));
            // A payload of 4 GiB - 1 in a record of its own.
            let mut huge = bytes.to_vec();
            huge[128 + 12..128 + 16].fill(0xff);
            seeds.push(seed("record-4-gib", &[&[2 | 8], &huge]));
        }
        if kind == "snap" {
            // 2^63 bytes and more chunks than can be counted.
            let mut huge = bytes[..256].to_vec();
            huge[48..56].copy_from_slice(&(1_u64 << 63).to_le_bytes());
            seeds.push(seed("snapshot-2-63", &[&[7 | 8], &huge]));
        }
    }
    seeds.push(seed("list", &[&[4], &9_u32.to_le_bytes(), &1_u32.to_le_bytes(), &[3; 12]]));
    seeds.push(seed("list-4-giga", &[&[4], &[0xff; 8]]));
    seeds
}

fn journal_recovery() -> Seeds {
    // Files stand in the order of their names: lock, manifest, mark, the segments, the snapshot, the spare.
    let set = |file: u8, place: u16, width: u8, value: u64| {
        let operation = 16 | 4 | width;
        [&[operation, file][..], &place.to_be_bytes(), &value.to_be_bytes()].concat()
    };
    let mut seeds: Seeds = (0..5).map(|base| seed(&format!("whole-{base}"), &[&[base]])).collect();
    for base in 1..4 {
        for file in 0..10 {
            seeds.push(seed(&format!("lost-{base}-{file}"), &[&[base, 14, file, 0, 0]]));
        }
        seeds.push(seed(&format!("cut-{base}"), &[&[base, 8, 3, 1, 200]]));
        // The first record of a segment announces 4 GiB, the mark is far behind the end, the list of files is long.
        for file in 2..6 {
            seeds.push(seed(
                &format!("length-{base}-{file}"),
                &[&[base], &set(file, 140, 2, u64::from(u32::MAX))],
            ));
            seeds.push(seed(
                &format!("index-{base}-{file}"),
                &[&[base], &set(file, 44, 2, u64::from(u32::MAX))],
            ));
            seeds.push(seed(
                &format!("list-{base}-{file}"),
                &[&[base], &set(file, 180, 2, u64::from(u32::MAX))],
            ));
        }
    }
    seeds
}

fn broker_entry() -> Seeds {
    let entry = unhex(fixtures::ENTRY);
    let commands = &entry[17..];
    let lease: &[u8] = &[4, 0, 0, 1, 9, 50, 4, 1, 0, 1, 9, 50];
    let settle: &[u8] = &[5, 2, 0, 5, 1, 0, 0, 5, 0, 1];
    let due: &[u8] = &[6, 255, 255, 12];
    let mut seeds = Seeds::new();
    for state in 0..3 {
        seeds.push(seed(&format!("raw-{state}"), &[&[state, 3], &long(&entry)]));
        seeds.push(seed(&format!("commands-{state}"), &[&[state, 0], &long(commands), lease, settle, due]));
        seeds.push(seed(
            &format!("leader-changes-{state}"),
            &[&[state, 0], &long(commands), lease, &[7, 1], settle, &[7, 2, 7, 0]],
        ));
    }
    seeds.push(seed("leases", &[&[0], lease, settle, due, lease, settle, &[7, 0]]));
    seeds
}

fn broker_snapshot() -> Seeds {
    let snapshot = unhex(fixtures::SNAPSHOT);
    let program = [4, 0, 0, 1, 9, 50, 4, 1, 0, 1, 9, 50, 5, 2, 0, 6, 255, 255, 12];
    // After version, shard, limits, applied, time and two counters comes the first count.
    let at = 1 + 4 + 24 + 8 + 8 + 8 + 4;
    let commands = [&[0][..], &long(&unhex(fixtures::ENTRY)[17..]), &program].concat();
    let mut huge = snapshot.clone();
    huge[at..at + 8].fill(0xff);
    vec![
        seed("full", &[&long(&[]), &snapshot]),
        seed("full-used", &[&long(&program), &snapshot]),
        seed("full-changed", &[&long(&commands), &snapshot]),
        seed("count-2-64", &[&long(&[]), &huge]),
    ]
}

fn raft_codec() -> Seeds {
    let voters: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    let members: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 3, b'a', b':', b'1'];
    let membership = [voters, members].concat();
    let id = [[0, 0, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 0, 11]].concat();
    let prefix = [&[1][..], &id, &[1], &id, &membership].concat();
    let length = u32::try_from(prefix.len()).unwrap_or(0).to_be_bytes();
    vec![
        seed("vote", &[&[0], &id, &[1]]),
        seed("log-id", &[&[1], &id]),
        seed("blank", &[&[2, 0xf0]]),
        seed("commands", &[&[2], &unhex(fixtures::ENTRY)]),
        seed("membership", &[&[2, 0xf1], &membership]),
        seed("membership-4-giga", &[&[2, 0xf1], &[0xff; 8]]),
        seed("snapshot", &[&[3], &length, &prefix, &[0, 0, 0, 5], b"state", &[0; 4]]),
        seed("snapshot-empty", &[&[3, 0, 0, 0, 10], &[0; 10]]),
        seed("chunk-4-gib", &[&[3, 0, 0, 0, 10], &[0; 10], &[0xff; 4]]),
    ]
}

fn config(root: &Path) -> io::Result<Seeds> {
    let mut seeds = Seeds::new();
    for file in fs::read_dir(root.join("configs"))? {
        let file = file?;
        seeds.push((file.file_name().to_string_lossy().into_owned(), fs::read(file.path())?));
    }
    // The examples of the documentation, which begin behind their fence.
    let documentation = fs::read_to_string(root.join("docs/configuration.md"))?;
    let blocks = documentation.split("```yaml\n").skip(1).filter_map(|block| block.split_once("```"));
    for (nth, (block, _)) in blocks.enumerate() {
        seeds.push((format!("documentation-{nth}.yaml"), block.as_bytes().to_vec()));
    }
    let text = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    let laughs: String = (1..9)
        .map(|nth| format!("a{nth}: &a{nth} [{}]\n", vec![format!("*a{}", nth - 1); 9].join(", ")))
        .collect();
    seeds.extend([
        text("alias-bomb.yaml", format!("a0: &a0 [x, x, x]\n{laughs}")),
        text("alias-of-itself.yaml", "a: &a [*a]\n".into()),
        text("deep-flow.yaml", "[".repeat(2000)),
        text("deep-map.yaml", "{a: ".repeat(1000)),
        text("deep-block.yaml", (0..100).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        text("merge.yaml", "a: &a {b: 1}\nnode:\n  <<: *a\n  <<: [*a, *a]\n".into()),
        text("anchors.yaml", (0..1100).map(|nth| format!("- &a{nth} x\n")).collect()),
        text("tag.yaml", "node: !!python/object/apply:os.system [id]\n".into()),
        text("documents.yaml", "---\n".repeat(50)),
        text("duplicate.yaml", "node: {}\nnode: {}\n".into()),
        text(
            "numbers.yaml",
            "listen:\n  native: 1e400\n  http: 0x7fffffffffffffffffff\njournal:\n  segment_size: -1\n".into(),
        ),
        text("scalars.yaml", "node:\n  id: |2-\n     a\n  data_dir: \"\\uD800\\x00\"\n? [a]\n: b\n".into()),
    ]);
    Ok(seeds)
}

fn names() -> Seeds {
    let texts = [
        "orders",
        "orders.*",
        "*",
        "_a-b:c.9",
        "01234567-89ab-cdef-0011-223344556677",
        "0123456789abcdef0011223344556677",
        "64KiB",
        "1TB",
        "18446744073709551615B",
        "99999999999999TiB",
        "250ms",
        "5s",
        "30d",
        "99999999999999999999d",
        "127.0.0.1:9001",
        "[::1]:9001",
        "localhost:0",
        "0",
    ];
    let mut seeds: Seeds = texts
        .iter()
        .enumerate()
        .map(|(nth, text)| seed(&format!("text-{nth:02}"), &[text.as_bytes()]))
        .collect();
    seeds.push(seed("name-201", &[&[b'a'; 201]]));
    seeds
}

fn main() -> io::Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets = [
        ("native_frames", native_frames()),
        ("requests", bodies(0x02)),
        ("responses", bodies(0x82)),
        ("message", message()),
        ("durable_envelope", durable_envelope()),
        ("services", services()),
        ("tsp", tsp()),
        ("zmtp", zmtp()),
        ("journal_files", journal_files()),
        ("journal_recovery", journal_recovery()),
        ("broker_entry", broker_entry()),
        ("broker_snapshot", broker_snapshot()),
        ("raft_codec", raft_codec()),
        ("config", config(&package.join(".."))?),
        ("names", names()),
    ];
    for (target, seeds) in targets {
        let folder = package.join("seeds").join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in &seeds {
            fs::write(folder.join(name), bytes)?;
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}
