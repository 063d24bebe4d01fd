//! What this machine can do: asked by scripts that need it.

use super::Session;
use crate::features::{Answer, Feature};

impl Session {
    /// Whether a feature is there, probed in a throw-away namespace; asked once in a run.
    #[must_use]
    pub fn feature(&self, feature: &Feature) -> Answer {
        self.features.ask(feature, &self.exec)
    }
}
