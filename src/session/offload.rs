//! What a link leaves to its device, by `ethtool`.

use super::link::At;
use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::ethtool::{self as model, Change, Feature};
use crate::model::suggest;
use crate::op::{self, Answer, Ask};

impl Session {
    /// The features of a link.
    ///
    /// # Errors
    ///
    /// `ToolMissing` without `ethtool`; what it says.
    pub fn offloads(&self, at: At<'_>) -> Result<Vec<Feature>> {
        let (netns, name) = at;
        self.link_require(at)?;
        match self.answer(netns, &Ask::Offloads(name.to_owned()))? {
            Answer::Offloads(all) => Ok(all),
            _ => Err(Error::new(Kind::NotFound, format!("no link `{name}` in `{netns}`")).netns(netns.name())),
        }
    }

    /// Turns features of a link on or off.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a word that `ethtool` does not know, `NotFound` for a feature that the link does not have, `Unsupported` for one that
    /// its driver does not let anybody change.
    pub fn offload(&self, at: At<'_>, wanted: &[(String, bool)]) -> Result<Did> {
        let (netns, name) = at;
        for (word, _) in wanted {
            model::listed_name(word)?;
        }
        let mut wanted: Vec<&(String, bool)> = wanted.iter().collect();
        wanted.sort_by_key(|(word, on)| model::rank(word, *on));
        let mut did = Did::Nothing;
        for (word, on) in wanted {
            // Each may change what the next one is.
            let all = self.offloads(at)?;
            let Some((feature, _)) = model::find(&all, word) else {
                let error = Error::new(Kind::NotFound, format!("`{name}` in `{netns}` has no feature `{word}`"));
                return Err(suggest::with_nearest(error, word, all.iter().map(|one| one.name.as_str()))
                    .hint(format!("`ethtool -k {name}` lists them; `link.offloads` has them as a map"))
                    .netns(netns.name()));
            };
            let op = op::ethtool::offload(netns, name, word, *on, model::as_it_is(&all, word));
            if model::is(&all, word, *on) {
                self.need(&op)?;
                continue;
            }
            if feature.change == Change::Fixed {
                let is = if feature.on { "on" } else { "off" };
                return Err(Error::new(Kind::Unsupported, format!("`{word}` of `{name}` in `{netns}` is fixed {is}"))
                    .hint("its driver lets nobody change it: leave it out")
                    .netns(netns.name()));
            }
            self.act_and_look(op)?;
            did = Did::Something;
        }
        Ok(self.count(did))
    }
}
