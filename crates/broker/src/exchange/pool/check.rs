//! What is always true of a pool.

use super::dispatcher::{Dialect, Pool};
use super::service::Service;
use super::worker::Activity;
use crate::exchange::Peers;

impl<D: Dialect> Pool<D> {
    /// The memory of all requests, and of parts of replies.
    pub(in crate::exchange) fn bytes(&self) -> usize {
        self.requests.bytes()
    }

    /// Requests that wait although a worker had them.
    pub(in crate::exchange) fn lost_len(&self) -> usize {
        self.requests.lost_len()
    }

    /// Panics where the parts of the pool contradict each other or a limit is passed.
    pub(in crate::exchange) fn check(&self, now_ms: u64) {
        self.requests.check();
        self.workers.check();
        let limits = &self.limits;
        assert!(self.requests.len() <= limits.requests_max && self.requests.bytes() <= limits.bytes_max);
        assert!(self.workers.len() <= limits.workers_max && self.services.len() <= limits.services_max);
        let (mut ready, mut workers, mut queued) = (0, 0, 0);
        for (name, service) in &self.services {
            for client in service.passed_over() {
                let is_noted = self.passed_over.get(&client).is_some_and(|services| services.contains(name));
                assert!(is_noted, "it is taken up when it reads");
            }
            assert!(!service.is_idle(), "an idle service is forgotten");
            service.check();
            assert!(
                service.first().is_none() || service.ready.is_empty(),
                "a request waits beside a ready worker"
            );
            // What comes back from lost workers may pass the limit of the queue.
            assert!(service.queued() <= limits.queue_requests_max + limits.workers_max);
            ready += service.ready.len();
            workers += service.workers;
            queued += service.queued();
            for (turn, worker) in &service.ready {
                assert_eq!(
                    self.workers.get(*worker).map(|worker| worker.activity),
                    Some(Activity::Ready(*turn))
                );
            }
        }
        assert_eq!(workers, self.workers.len());
        let mut busy = 0;
        for (peer, worker) in self.workers.iter() {
            assert!(!self.is_former(*peer));
            match worker.activity {
                Activity::Ready(_) => ready -= 1,
                Activity::Clogged => {}
                Activity::Busy(id) => {
                    busy += 1;
                    assert_eq!(self.requests.get(id).and_then(|request| request.worker), Some(*peer));
                }
            }
            let silent_ms = now_ms - worker.heard_ms;
            let is_alive = match worker.activity {
                Activity::Busy(id) => {
                    let worked_ms = now_ms - self.requests.get(id).map_or(0, |request| request.started_ms);
                    silent_ms < limits.silence_at_work_ms() || worked_ms < limits.busy_silence_ms
                }
                _ => silent_ms < limits.silence_ms(),
            };
            assert!(is_alive, "a dead worker is kept");
        }
        assert_eq!(ready, 0, "who is ready is registered");
        assert_eq!(queued + busy, self.requests.len(), "a request waits or is being worked on");
    }

    /// Panics where a request is passed over although its client reads.
    pub(in crate::exchange) fn check_passed_over(&self, peers: &dyn Peers) {
        for client in self.services.values().flat_map(Service::passed_over) {
            assert!(peers.room(client).is_full(), "{client} reads, and is passed over");
        }
    }
}
