//! Progress of long work.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or a counter where the end is not known; or nothing, where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(crate) fn shown(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {human_pos}/{human_len}  {per_sec}  {eta} left {msg}",
            None => "{spinner} {human_pos}  {per_sec}  {elapsed} {msg}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
        // A template that is wrong costs the bar its looks, not the user the work.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self(Some(bar))
    }

    pub(crate) fn hidden() -> Self {
        Self(None)
    }

    pub(crate) fn set(&self, position: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(position);
        }
    }

    /// Says what is being done, behind the figures.
    pub(crate) fn message(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
