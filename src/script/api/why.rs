//! Why a packet dies.

use rhai::Map;
use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::value::{Options, to_dynamic};
use super::verify::{aim, manner, to_service};
use super::{Netns, Out, act, reject};
use crate::probe::Target;
use crate::report::finding::{Style, render};
use crate::verify::Aim;
use crate::why::finding::Finding as Answer;
use crate::why::{Question, why as ask};

/// What `why` found: a picture when printed, and the keys of its JSON document.
#[derive(Clone)]
pub struct Finding {
    picture: String,
    document: serde_json::Value,
}

impl Finding {
    pub(super) fn new(answer: &Answer) -> Self {
        Self { picture: render(answer, Style::PLAIN), document: answer.json() }
    }

    fn get(&self, key: &str) -> Dynamic {
        self.document.get(key).map_or(Dynamic::UNIT, to_dynamic)
    }
}

fn find(context: &NativeCallContext, netns: &Netns, target: &Dynamic, options: Map) -> Out<Finding> {
    let options = reject(context, Options::new(options, "why"))?;
    let (target, service) = act(context, &netns.run, |session| aim(session, target))?;
    let mut question = Question::new(netns.at.clone(), target);
    let manner = reject(context, manner(&options, "why").and_then(|manner| to_service(manner, service)))?;
    question.sent_as(&manner);
    question.probe = reject(context, options.flag("probe"))?.unwrap_or(true);
    let answer = act(context, &netns.run, |session| {
        // A port is one of an address.
        let (Some(port), Aim::Netns(to)) = (manner.port, question.aim.clone()) else { return ask(session, &question) };
        let addr = session.first_shared_addr(&question.from, &to)?;
        let target = if manner.udp { Target::udp(addr, port) } else { Target::tcp(addr, port) };
        let aim = Aim::Target(target);
        ask(session, &Question { aim, ..question.clone() })
    })?;
    netns.run.0.blame(&answer);
    Ok(Finding::new(&answer))
}

#[export_module]
pub mod api {
    /// Why a namespace cannot reach a target: an address, `"tcp/10.0.0.2:80"`, or another namespace, itself or by its name. Prints as a picture of the path;
    /// `.verdict` is `reachable`, `blocked`, `pending` or `inconclusive`, `.culprit` is `#{ code, netns, object, message, evidence, fix, … }`
    /// or `()`.
    ///
    /// ```rhai
    /// let finding = why(netns("ns-blue"), "203.0.113.1");
    /// assert_eq(finding.verdict, "blocked");
    /// assert_eq(finding.culprit.code, "LINK_MISSING");
    /// ```
    #[rhai_fn(name = "why", return_raw)]
    pub fn why(context: NativeCallContext, netns: Netns, target: Dynamic) -> Out<Finding> {
        find(&context, &netns, &target, Map::new())
    }

    /// The same with options: `size` of a ping that may not be fragmented, `from` address, `sport`, `port` to go to, `mark`, `dev` to leave by,
    /// `probe: false` to send nothing.
    ///
    /// ```rhai
    /// assert_eq(why(netns("ns-blue"), "127.0.0.1", #{ probe: false }).verdict, "reachable");
    /// ```
    #[rhai_fn(name = "why", return_raw)]
    pub fn why_with(context: NativeCallContext, netns: Netns, target: Dynamic, options: Map) -> Out<Finding> {
        find(&context, &netns, &target, options)
    }

    /// `reachable`, `blocked`, `pending` or `inconclusive`.
    ///
    /// ```rhai
    /// assert_eq(why(netns("ns-blue"), "127.0.0.1").verdict, "reachable");
    /// ```
    #[rhai_fn(get = "verdict", pure)]
    pub fn verdict(finding: &mut Finding) -> Dynamic {
        finding.get("verdict")
    }

    /// How the verdict is known: `confirmed`, `predicted`, `observed` or `contradicted`.
    ///
    /// ```rhai
    /// assert_eq(why(netns("ns-blue"), "127.0.0.1").confidence, "observed");
    /// ```
    #[rhai_fn(get = "confidence", pure)]
    pub fn confidence(finding: &mut Finding) -> Dynamic {
        finding.get("confidence")
    }

    /// What stops the packet: `#{ code, leg, netns, object, message, evidence, fix, advice }`, or `()`.
    ///
    /// ```rhai
    /// assert_eq(why(netns("ns-blue"), "127.0.0.1").culprit, ());
    /// ```
    #[rhai_fn(get = "culprit", pure)]
    pub fn culprit(finding: &mut Finding) -> Dynamic {
        finding.get("culprit")
    }

    /// Further things in the way: at most three.
    ///
    /// ```rhai
    /// assert_eq(why(netns("ns-blue"), "127.0.0.1").others.len(), 0);
    /// ```
    #[rhai_fn(get = "others", pure)]
    pub fn others(finding: &mut Finding) -> Dynamic {
        finding.get("others")
    }

    /// The devices that the packet passes, as far as it gets.
    ///
    /// ```rhai
    /// assert_eq(why(netns("ns-blue"), "127.0.0.1").hops[0].dev, "lo");
    /// ```
    #[rhai_fn(get = "hops", pure)]
    pub fn hops(finding: &mut Finding) -> Dynamic {
        finding.get("hops")
    }

    /// How it is known: statements with their labels `kernel`, `state`, `probe`, `inferred`.
    ///
    /// ```rhai
    /// assert(why(netns("ns-blue"), "203.0.113.1").evidence.len() > 0);
    /// ```
    #[rhai_fn(get = "evidence", pure)]
    pub fn evidence(finding: &mut Finding) -> Dynamic {
        finding.get("evidence")
    }

    /// What a packet did: `#{ reached, word, detail, … }`, or `()` when none was sent.
    ///
    /// ```rhai
    /// assert(why(netns("ns-blue"), "127.0.0.1").probe.reached);
    /// ```
    #[rhai_fn(get = "probe", pure)]
    pub fn probe(finding: &mut Finding) -> Dynamic {
        finding.get("probe")
    }

    /// The picture.
    ///
    /// ```rhai
    /// assert(why(netns("ns-blue"), "127.0.0.1").to_string().contains("reaches"));
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn finding_to_string(finding: &mut Finding) -> String {
        finding.picture.trim_end().to_owned()
    }
}
