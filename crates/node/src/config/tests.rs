//! What an operator sees, for good and for bad files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

const SEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/mvp-cluster.yaml");

fn seed(node_id: &str) -> Result<Loaded, ConfigError> {
    let overrides = Overrides { node_id: Some(node_id.into()), port: Some(9001), ..Overrides::default() };
    Config::load(Some(Path::new(SEED)), &overrides)
}

#[test]
fn the_default_is_a_node_alone_on_loopback() {
    let config = Config::default();
    config.validate().unwrap();
    assert_eq!(parse("").unwrap(), config);
    assert_eq!(config.node_id().as_str(), "node-1");
    assert_eq!(config.native_address(), Some("127.0.0.1:9001".parse().unwrap()));
    assert_eq!(config.http_address(), Some("127.0.0.1:8080".parse().unwrap()));
    assert_eq!(config.node.data_dir, PathBuf::from("./swarmmq-data"));
    assert_eq!(config.cluster.shards, 16);
    let endpoints: Vec<_> =
        config.zeromq.endpoints.iter().map(|one| (one.label(), one.bind.unwrap().to_string())).collect();
    assert_eq!(
        endpoints,
        [("durable", "tcp://127.0.0.1:5551".into()), ("ingest", "tcp://127.0.0.1:5552".into())]
    );
    assert_eq!(config.zeromq.endpoints[1].queue.as_ref().unwrap().as_str(), "ingest");
}

#[test]
fn the_first_configuration_file_loads_as_it_stands() {
    let loaded = seed("node-1").unwrap();
    let config = loaded.config;
    assert_eq!(config.cluster.name.as_str(), "mvp-cluster");
    assert_eq!(config.cluster.nodes[0].roles, [Role::Producer, Role::Consumer, Role::Router]);
    assert_eq!(config.performance.max_message_size, Size(1_000_000));
    assert_eq!(config.performance.batch_size, 100);
    assert_eq!(config.group_settings().lease_ms, 5_000);
    assert_eq!(config.native_address(), Some("127.0.0.1:9001".parse().unwrap()));
    assert!(!config.security.has_tls(), "the files do not exist, so TLS stays off");
    assert_eq!(loaded.warnings, [Warning::TlsOff("/path/to/cert.pem".into())], "every key has an effect");
    assert!(loaded.warnings[0].to_string().starts_with("TLS IS OFF: /path/to/cert.pem"));
}

#[test]
fn off_loopback_missing_tls_files_are_an_error() {
    let overrides = Overrides {
        bind: Some("0.0.0.0".parse().unwrap()),
        allow_unauthenticated: true,
        allow_plaintext: true,
        ..Overrides::default()
    };
    let error = Config::load(Some(Path::new(SEED)), &overrides).unwrap_err().to_string();
    assert!(
        error.contains("mvp-cluster.yaml:14:13: security.tls_cert: /path/to/cert.pem: No such file"),
        "{error}"
    );
}

/// What is said about `text`, which has one problem.
fn problem(text: &str) -> String {
    let error = parse(text).expect_err(text);
    assert_eq!(error.problems.len(), 1, "{error}");
    error.to_string()
}

#[test]
fn a_misspelt_key_is_named_with_its_place_and_the_nearest_one() {
    for (text, message) in [
        (
            "performance:\n  max_mesage_size: 1MB\n",
            "line 2, column 3: performance.max_mesage_size: unknown key \"max_mesage_size\", did you mean \"max_message_size\"?",
        ),
        (
            "max_message_size: 1MB\n",
            "line 1, column 1: max_message_size: unknown key \"max_message_size\", did you mean \"performance.max_message_size\"?",
        ),
        (
            "security: {allow_plain_text: true}",
            "line 1, column 12: security.allow_plain_text: unknown key \"allow_plain_text\", did you mean \"ALLOW_PLAINTEXT\"?",
        ),
        (
            "zeromq:\n  endpoints:\n    - nam: x\n      kind: durable\n      bind: tcp://127.0.0.1:1\n",
            "line 3, column 7: zeromq.endpoints[0].nam: unknown key \"nam\", did you mean \"name\"?",
        ),
    ] {
        assert_eq!(problem(text), message);
    }
    let nothing_like_it = problem("flux_capacitor: 1\n");
    assert!(nothing_like_it.contains("unknown key \"flux_capacitor\"; there are: cluster, node, listen"));
}

#[test]
fn every_bad_value_is_named_with_its_place_and_what_to_write() {
    for (text, parts) in [
        (
            "performance:\n  batch_size: 1\n  batch_size: 2\n",
            "line 3, column 3: the key \"batch_size\" stands here a second time",
        ),
        (
            "performance: {batch_size: many}",
            "column 27: performance.batch_size: expected a whole number, found the text \"many\"",
        ),
        ("performance: {batch_size: 1.5}", "expected a whole number, found the number 1.5"),
        ("performance: {batch_size: -1}", "-1 is out of range: it must be from 0 to"),
        ("performance: {batch_size: 0}", "0 is out of range: it must be from 1 to 4096"),
        ("performance: {batch_size: 5000}", "5000 is out of range: it must be from 1 to 4096"),
        (
            "performance: {batch_size: 99999999999999999999999999999999999999999999}",
            "expected a whole number",
        ),
        ("performance: {batch_size: .nan}", "non-finite"),
        ("performance: {max_message_size: 1 parsec}", "\"1 parsec\" is not a size, as 512, \"64KiB\""),
        ("performance: {max_message_size: 1GB}", "1GB is out of range: it must be from 1KiB to 32MiB"),
        ("performance: {max_message_size: -5}", "-5 is out of range"),
        ("performance: {ack_timeout: 5 parsecs}", "there is no unit \"parsecs\""),
        ("performance: {ack_timeout: 5}", "\"5\" is not a duration, as \"250ms\", \"5s\" or \"7d\""),
        ("performance: {ack_timeout: 99999999d}", "is out of range: it must be from 1ms to 1d"),
        ("performance: 5", "performance: expected a section with keys of its own, found the number 5"),
        ("- a", "expected a section with keys of its own, found a list"),
        ("zeromq: {endpoints: {name: a}}", "zeromq.endpoints: expected a list of sections"),
        ("cluster: {name: a/b}", "\"a/b\" is not a name: '/' at position 1"),
        ("cluster: {name: 5}", "expected a name, as node-1 (a number in quotes), found the number 5"),
        (
            "listen: {native: \"127.0.0.1:70000\"}",
            "the port 70000 is out of range: it must be from 0 to 65535",
        ),
        ("listen: {http: \"example.org:80\"}", "the host must be an IP address"),
        (
            "listen: {native: \"127.0.0.1:8080\"}",
            "listen.http: 127.0.0.1:8080 is used twice, first by listen.native",
        ),
        ("destinations: {auto_create: yes}", "expected true or false, found the text \"yes\""),
        ("destinations: {kind: topic}", "\"topic\" is not a kind of destination: queue or stream"),
        ("destinations: {max_dedup_ids: 0}", "max_dedup_ids is 0 while dedup_window is not"),
        ("node: {data_dir: \"\"}", "node.data_dir: \"\" is not the path of a file or folder: it is empty"),
        ("telemetry: {log_level: inof}", "there is no level \"inof\""),
        ("security: {tls_cert: a.pem}", "security.tls_key: \"tls_key\" is missing"),
        ("security: {client_ca: a.pem}", "client certificates need TLS"),
        ("security: {users: [{name: a}]}", "neither password_sha256 nor curve_public_key"),
        (
            "security: {permissions: [{who: \"*\", destinations: \"a/*\", allow: [produce]}]}",
            "\"a/*\" is not a name",
        ),
        (
            "security: {permissions: [{who: a, destinations: a, allow: [fly]}]}",
            "security.permissions[0].allow[0]: \"fly\" is not an action",
        ),
        (
            "zeromq: {endpoints: [{name: x, kind: ingest, bind: \"tcp://127.0.0.1:1\"}]}",
            "zeromq.endpoints[0].queue: \"queue\" is missing",
        ),
        (
            "zeromq: {endpoints: [{name: x, kind: durable, queue: q, bind: \"tcp://127.0.0.1:1\"}]}",
            "a durable endpoint has no queue",
        ),
        (
            "zeromq: {endpoints: [{name: x, kind: egress, bind: \"tcp://127.0.0.1:1\"}]}",
            "an egress endpoint delivers the messages of a queue",
        ),
        (
            "zeromq: {endpoints: [{name: x, kind: egress, queue: q, prefetch: 0, bind: \"tcp://127.0.0.1:1\"}]}",
            "zeromq.endpoints[0].prefetch",
        ),
        (
            "zeromq: {endpoints: [{name: x, kind: ingest, queue: q, acknowledge: by-worker, bind: \"tcp://127.0.0.1:1\"}]}",
            "only an endpoint of the kind egress has this key",
        ),
        ("zeromq: {endpoints: [{name: x, kind: durable, bind: \"ipc://x\"}]}", "it must begin with tcp://"),
        (
            "zeromq: {endpoints: [{name: x, kind: durable, bind: \"tcp://127.0.0.1:1\", mechanisms: [curve]}]}",
            "peers know the node by its key",
        ),
        ("cluster: {nodes: [{id: a}]}", "cluster.nodes[0].address: \"address\" is missing"),
        (
            "cluster: {nodes: [{id: a, address: \"localhost:0\"}]}",
            "the port must be a number from 1 to 65535",
        ),
        ("cluster: {nodes: [{id: a, address: \"a/b:1\"}]}", "the host must be a name or an IP address"),
        ("cluster: {nodes: [{id: a, address: \"example.org:1\"}]}", "names are not looked up to listen"),
        ("cluster: {nodes: [{id: a, address: \"localhost:1\", roles: [king]}]}", "\"king\" is not a role"),
        ("performance:\n\tbatch_size: 1\n", "line 2, column 2: tabs disallowed"),
        ("performance: {batch_size: 1", "unclosed bracket"),
        ("performance: *nothing", "unknown anchor"),
        ("a: &a [*a]", "recursive"),
        ("a: !!python/object 5", "unsupported tag"),
        ("{}\n---\n{}\n", "line 2, column 1: a configuration is one document: another one begins here"),
        ("null: 1", "a key must be a text"),
        ("? [1, 2]\n: 3\n", "expected string scalar"),
    ] {
        let message = problem(text);
        assert!(message.contains(parts), "{text}\n{message}");
        assert!(message.starts_with("line "), "no place: {message}");
    }
}

#[test]
fn all_problems_are_said_at_once_in_the_order_of_the_file() {
    let error =
        parse("performance: {batch_size: x}\nflux: 1\njournal: {segment_size: 1 parsec}\n").unwrap_err();
    let paths: Vec<&str> = error.problems.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["performance.batch_size", "flux", "journal.segment_size"]);
    let many: String = (0..100).map(|number| format!("key{number}: 1\n")).collect();
    assert_eq!(parse(&many).unwrap_err().problems.len(), PROBLEMS_MAX);
}

#[test]
fn one_node_runs_and_several_are_refused() {
    let two = "cluster: {nodes: [{id: a, address: \"localhost:1\"}, {id: b, address: \"localhost:2\"}]}";
    assert!(
        problem(two)
            .contains("cluster.nodes has 2 nodes: this version runs one node; the cluster comes next")
    );
    let twice = "cluster: {nodes: [{id: a, address: \"localhost:1\"}, {id: a, address: \"localhost:2\"}]}";
    assert!(parse(twice).unwrap_err().to_string().contains("a is used twice, first by cluster.nodes[0].id"));
    let error = seed("node-7").unwrap_err().to_string();
    assert!(error.contains("the node \"node-7\" is not in cluster.nodes, which has: node-1"), "{error}");
    let error = seed("a/b").unwrap_err().to_string();
    assert!(error.starts_with("--node-id: \"a/b\" is not a name"), "{error}");
}

#[test]
fn aliases_of_a_long_text_end_at_a_limit() {
    let long = "x".repeat(8_000);
    let repeated = |times: usize| vec!["*a0"; times].join(", ");
    // The key is none of ours, so it is an error in any case: that of the limit comes first.
    let refusal =
        |times| parse(&format!("a0: &a0 {long}\na1: [{}]\n", repeated(times))).unwrap_err().to_string();
    assert!(!refusal(3).contains("beyond what any configuration needs"));
    assert!(refusal(100).contains("ScalarBytes"), "{}", refusal(100));
}

#[test]
fn a_bomb_of_aliases_or_nesting_ends_at_a_limit() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = level - 1;
        let nine = vec![format!("*a{before}"); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{nine}]\n"));
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_block: String = (0..1_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    let anchors: String = (0..20_000).map(|number| format!("- &a{number} x\n")).collect();
    let wide = format!("a: [{}]", "x,".repeat(200_000));
    for bomb in [laughs, deep, deep_block, anchors, wide] {
        let began = std::time::Instant::now();
        let error = parse(&bomb).unwrap_err();
        // A tenth of a second in a release build on an idle machine; without the limits it would not end.
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
        assert!(matches!(error.problems[0].kind, ProblemKind::Syntax(_)), "{error}");
        assert!(error.to_string().len() < 2_000, "{error}");
    }
}

#[test]
fn a_file_that_is_too_large_or_not_text_or_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = |bytes: &[u8]| {
        let file = folder.path().join("node.yaml");
        std::fs::write(&file, bytes).unwrap();
        Config::load(Some(&file), &Overrides::default())
            .map(|loaded| loaded.config)
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        load(b"node:\n  id: a\xff\n").unwrap_err().rsplit("node.yaml: ").next(),
        Some("the file is not UTF-8 text: the byte at offset 13 is 0xff")
    );
    let large = vec![b'#'; FILE_BYTES_MAX as usize + 1];
    assert!(
        load(&large)
            .unwrap_err()
            .ends_with("the file has 1048577 bytes, a configuration has at most 1048576")
    );
    assert!(load(&large[..FILE_BYTES_MAX as usize]).is_ok(), "a comment of exactly the limit");
    assert!(load(b"flux: 1").unwrap_err().contains("node.yaml:1:1: flux: unknown key"));
    let missing = Config::load(Some(Path::new("does/not/exist.yaml")), &Overrides::default()).unwrap_err();
    assert!(
        missing.to_string().starts_with("does/not/exist.yaml: cannot read does/not/exist.yaml: No such file")
    );
    assert!(Config::load(Some(folder.path()), &Overrides::default()).is_err(), "a folder");
    #[cfg(unix)]
    assert!(
        Config::load(Some(Path::new("/dev/zero")), &Overrides::default())
            .unwrap_err()
            .to_string()
            .contains("at most")
    );
}

#[test]
fn off_loopback_nothing_listens_without_tls_and_authentication() {
    let far = "listen: {native: \"0.0.0.0:9001\", http: \"0.0.0.0:8080\"}\n";
    let error = parse(far).unwrap_err();
    assert_eq!(error.problems.len(), 4, "{error}");
    let key = format!(
        "{far}security: {{ALLOW_PLAINTEXT: true, api_keys: [{{name: a, sha256: \"{}\"}}]}}",
        "ab".repeat(32)
    );
    let error = parse(&key).unwrap_err().to_string();
    assert!(error.contains("security.permissions: 0.0.0.0:9001 is reached from other machines"), "{error}");
    let rules = "permissions: [{who: a, destinations: '*', allow: [produce]}], api_keys";
    let config = parse(&key.replace("api_keys", rules)).unwrap();
    assert!(config.security.requires_authentication(true) && config.security.requires_authentication(false));
    assert!(parse(&format!("{far}security: {{ALLOW_PLAINTEXT: true, ALLOW_UNAUTHENTICATED: true}}")).is_ok());
    let endpoint = "zeromq: {endpoints: [{name: x, kind: durable, bind: \"tcp://*:5551\"}]}";
    let error = parse(endpoint).unwrap_err().to_string();
    assert!(
        error.contains(
            "zeromq.endpoints[0].mechanisms: tcp://0.0.0.0:5551 is reached from other machines: use [curve]"
        ),
        "{error}"
    );
}

#[test]
fn the_command_line_goes_before_the_file() {
    let overrides = Overrides {
        port: Some(7_001),
        http_port: Some(0),
        data_dir: Some("elsewhere".into()),
        log_level: Some("debug".into()),
        log_format: Some(LogFormat::Json),
        ..Overrides::default()
    };
    let config = Config::load(Some(Path::new(SEED)), &overrides).unwrap().config;
    assert_eq!(config.native_address(), Some("127.0.0.1:7001".parse().unwrap()));
    assert_eq!(config.http_address(), Some("127.0.0.1:0".parse().unwrap()));
    assert_eq!(config.node.data_dir, PathBuf::from("elsewhere"));
    assert_eq!(
        (config.telemetry.log_level.as_str(), config.telemetry.log_format),
        ("debug", LogFormat::Json)
    );
    let bind = Overrides {
        bind: Some("0.0.0.0".parse().unwrap()),
        allow_unauthenticated: true,
        allow_plaintext: true,
        ..Overrides::default()
    };
    let loaded = Config::load(None, &bind).unwrap();
    assert_eq!(loaded.warnings, [Warning::Unauthenticated, Warning::Plaintext]);
    assert!(loaded.config.zeromq.endpoints.iter().all(|one| one.bind.unwrap().0.ip().is_unspecified()));
}

#[test]
fn the_master_key_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let secret = "5e".repeat(32);
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let load =
        |environment: Environment| Config::load(None, &Overrides { environment, ..Overrides::default() });
    assert_eq!(load(Environment::default()).unwrap().master_key, None);
    let by_value = Environment { master_key: Some(secret.clone()), master_key_file: None };
    let by_file = Environment { master_key: None, master_key_file: Some(file.clone()) };
    for environment in [by_value, by_file] {
        assert!(!format!("{environment:?}").contains("5e5e"));
        let loaded = load(environment).unwrap();
        assert_eq!(loaded.master_key, Some(MasterKey([0x5e; 32])));
        assert!(!format!("{loaded:?}").contains("94, 94") && !format!("{loaded:?}").contains("5e5e"));
    }
    let wrong =
        load(Environment { master_key: Some("5e5e not a key".into()), master_key_file: None }).unwrap_err();
    assert!(
        wrong.to_string().contains("SWARMMQ_MASTER_KEY: the master key from the environment is not 64"),
        "{wrong}"
    );
    assert!(!wrong.to_string().contains("5e5e"));
    let missing = Environment { master_key: None, master_key_file: Some("does/not/exist".into()) };
    assert!(
        load(missing)
            .unwrap_err()
            .to_string()
            .contains("SWARMMQ_MASTER_KEY_FILE: cannot read does/not/exist")
    );
}

#[cfg(unix)]
#[test]
fn a_secret_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "5e".repeat(32)).unwrap();
    for (mode, warnings) in [(0o644, vec![Warning::ReadableByOthers(file.clone())]), (0o600, Vec::new())] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let environment = Environment { master_key: None, master_key_file: Some(file.clone()) };
        let loaded = Config::load(None, &Overrides { environment, ..Overrides::default() }).unwrap();
        assert_eq!(loaded.warnings, warnings, "{mode:o}");
    }
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let message = problem("security: {api_keys: [{name: a, sha256: hunter2}]}");
    assert!(message.contains("security.api_keys[0].sha256") && !message.contains("hunter2"), "{message}");
    let config =
        parse(&format!("security: {{api_keys: [{{name: a, sha256: \"{}\"}}]}}", "ab".repeat(32))).unwrap();
    let text = format!("{config:?}");
    assert!(text.contains("redacted") && !text.contains("171") && !text.contains("abab"), "{text}");
}

#[test]
fn settings_of_destinations_that_make_themselves_follow_the_configuration() {
    let config = parse("destinations: {kind: stream, max_size: 1GiB, max_age: 7d, overflow: refuse, max_deliveries: 5, dead_letter: dead}").unwrap();
    let settings = config.destination_settings();
    assert_eq!((settings.bytes_max, settings.age_max_ms), (1 << 30, 604_800_000));
    assert_eq!(settings.overflow, swarmmq_protocol::settings::Overflow::Refuse);
    let group = config.group_settings();
    assert_eq!((group.lease_ms, group.deliveries_max), (30_000, 5));
    assert_eq!(group.dead_letter.unwrap().as_str(), "dead");
    let asked_for = config.queue_group_settings();
    assert_eq!((asked_for.lease_ms, asked_for.deliveries_max, asked_for.dead_letter), (30_000, 0, None));
    use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};
    let default = Config::default();
    assert_eq!(
        default.destination_settings(),
        DestinationSettings::queue(),
        "the defaults are those of the protocol"
    );
    assert_eq!(default.group_settings(), GroupSettings::default());
}
