//! tc in its own words.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::value::{Options, to_dynamic, words};
use super::{Netns, Out, act, reject};
use crate::session::RawAnswer;

fn call(context: &NativeCallContext, netns: &Netns, given: &Dynamic, undo: Option<&Dynamic>) -> Out<Dynamic> {
    let given = reject(context, words(given, "tc"))?;
    let undo = reject(context, undo.map(|undo| words(undo, "undo")).transpose())?;
    Ok(match act(context, &netns.run, |session| session.tc(&netns.at, &given, undo.as_deref()))? {
        RawAnswer::Records(records) => records.iter().map(to_dynamic).collect::<Array>().into(),
        RawAnswer::Text(text) if text.is_empty() => Dynamic::UNIT,
        RawAnswer::Text(text) => text.into(),
    })
}

#[export_module]
pub mod api {
    /// `tc` in its own words. A root discipline that is so already is left alone, and the former one comes back when this is undone; classes and
    /// filters go with the discipline or the link that the script made. Questions (`show`) return maps.
    ///
    /// ```rhai
    /// needs("tbf");
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// let blue = netns("ns-blue");
    /// blue.tc("qdisc add dev eth0 root tbf rate 1mbit burst 10kb latency 50ms");
    /// assert_eq(blue.tc("qdisc show dev eth0")[0].kind, "tbf");
    /// blue.tc("qdisc del dev eth0 root");
    /// ```
    #[rhai_fn(name = "tc", return_raw, pure)]
    pub fn tc(context: NativeCallContext, netns: &mut Netns, words: Dynamic) -> Out<Dynamic> {
        call(&context, netns, &words, None)
    }

    /// The same for a change that says what undoes it: a class or a filter of a discipline that was there before.
    ///
    /// ```rhai
    /// needs("tbf");
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// netns("ns-blue").tc("qdisc add dev eth0 root tbf rate 1mbit burst 10kb latency 50ms", #{ undo: "qdisc del dev eth0 root" });
    /// ```
    #[rhai_fn(name = "tc", return_raw, pure)]
    pub fn tc_with(context: NativeCallContext, netns: &mut Netns, words: Dynamic, options: Map) -> Out<Dynamic> {
        let options = reject(&context, Options::new(options, "tc"))?;
        call(&context, netns, &words, options.value("undo"))
    }
}
