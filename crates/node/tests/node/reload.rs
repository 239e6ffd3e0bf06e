//! A configuration that changes while the node runs.

use std::sync::{Arc, Mutex};

use swarmmq_node::config::parse;
use swarmmq_node::node::{Node, NodeOptions};

use crate::config;

fn endpoint(name: &str, kind: &str) -> String {
    format!("{{ name: {name}, kind: {kind}, bind: 'tcp://127.0.0.1:0' }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_and_users_change_and_what_has_not_changed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let with = |endpoints: &[String], more: &str| {
        let mut config = config(folder.path(), "");
        let text = format!("zeromq: {{ endpoints: [{}] }}\n{more}", endpoints.join(", "));
        let parsed = parse(&text).unwrap();
        (config.zeromq, config.security) = (parsed.zeromq, parsed.security);
        config
    };
    let (kept, other) = (endpoint("kept", "durable"), endpoint("other", "durable"));
    let current = Arc::new(Mutex::new(with(&[kept.clone(), other], "")));
    let source = current.clone();
    let options = NodeOptions::new(current.lock().unwrap().clone())
        .config_source(Arc::new(move || Ok(source.lock().unwrap().clone())));
    let running = Node::start(options).await.unwrap();
    assert_eq!(running.reload().await.unwrap().to_string(), "nothing has changed");
    let before = running.zeromq();

    let users = format!("security: {{ users: [{{ name: ada, password_sha256: {} }}] }}", "ab".repeat(32));
    *current.lock().unwrap() = with(&[kept, endpoint("new", "durable")], &users);
    let done = running.reload().await.unwrap();
    assert!(done.security && !done.needs_restart);
    assert_eq!(
        (done.endpoints.started, done.endpoints.stopped),
        (vec!["new".to_owned()], vec!["other".to_owned()])
    );
    let after = running.zeromq();
    let names: Vec<&str> = after.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["kept", "new"]);
    assert_eq!(after[0].addr, before[0].addr, "it is the same as before");

    current.lock().unwrap().limits.max_destinations += 1;
    assert!(running.reload().await.unwrap().needs_restart);
    current.lock().unwrap().zeromq.endpoints[0].bind = None;
    assert!(running.reload().await.is_err());
    assert_eq!(running.zeromq().len(), 2, "a wrong configuration changes nothing");
    let _ = running.shutdown().await;
}
