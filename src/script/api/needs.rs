//! What a script needs of the machine: where it is missing, the run is skipped, which is no failure.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, EvalAltResult, Position};

use super::value::type_of;
use super::{Out, act_global, reject};
use crate::error::{Error, Kind, Result};
use crate::features::{Answer, Feature};
use crate::script::error::{Skip, place_of};

#[export_module]
pub mod api {
    /// Says that the script needs a feature of the kernel, or a program; where it is missing, the run ends as skipped, with exit code 0.
    ///
    /// Kinds of links (`"vxlan"`), queueing disciplines (`"netem"`), `"police"`, `"ipv6"`, `"nat"`, `"conntrack"`, `"iptables"`, `"ip6tables"`, `"nft"`,
    /// `"br_netfilter"`, `"vlan_filtering"`, and programs (`"tcpdump"`, `"tool:dig"`). It is tried out in a throw-away namespace.
    ///
    /// ```rhai
    /// needs("bridge");
    /// ```
    #[rhai_fn(name = "needs", return_raw)]
    pub fn needs(context: NativeCallContext, feature: &str) -> Out<()> {
        need(&context, &[feature.to_owned()])
    }

    /// Says that the script needs several features, and names all that are missing.
    ///
    /// ```rhai
    /// needs(["veth", "bridge", "ip"]);
    /// ```
    #[rhai_fn(name = "needs", return_raw)]
    pub fn needs_all(context: NativeCallContext, features: Array) -> Out<()> {
        let words = features.into_iter().map(|feature| {
            let given = type_of(&feature);
            feature.into_string().map_err(|_| {
                Error::new(Kind::InvalidArgument, format!("a feature is a string, not {given}"))
                    .hint("needs([\"vxlan\", \"nat\"])")
            })
        });
        let words = reject(&context, words.collect::<Result<Vec<_>>>())?;
        need(&context, &words)
    }

    /// Ends the run as skipped, with a reason: exit code 0, and no failure. It cannot be caught.
    ///
    /// ```rhai
    /// if netns_list().len() > 100 { skip("too many namespaces here"); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn skip(context: NativeCallContext, reason: &str) -> Out<()> {
        if reason.trim().is_empty() {
            let error = Error::new(Kind::InvalidArgument, "a skip needs a reason");
            return reject(&context, Err(error.hint("skip(\"no second uplink here\")")));
        }
        Err(end(reason.trim().to_owned()))
    }
}

fn need(context: &NativeCallContext, words: &[String]) -> Out<()> {
    let features = words.iter().map(|word| Feature::parse(word)).collect::<Result<Vec<_>>>();
    let features = reject(context, features)?;
    let mut missing = Vec::new();
    for (feature, word) in features.iter().zip(words) {
        let answer = act_global(context, |session| Ok(session.feature(feature)))?;
        match answer {
            Answer::Yes => {}
            Answer::No { reason, .. } => missing.push((reason, word)),
            Answer::Unknown(error) => {
                let error = error.note("needed", format!("{word:?}")).at(place_of(context));
                return act_global(context, |_| Err(error));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = missing.iter().map(|(reason, _)| reason.as_str()).collect();
    let words: Vec<_> = missing.iter().map(|(_, word)| format!("{word:?}")).collect();
    Err(end(format!("{} (needs {})", reasons.join("; "), words.join(", "))))
}

/// Ends the run; `try` cannot catch it.
#[expect(clippy::unnecessary_box_returns, reason = "it is what Rhai takes")]
fn end(reason: String) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(Skip(reason)), Position::NONE))
}
