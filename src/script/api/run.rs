//! Life of a run: arguments, waiting, ending, what was done.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{EvalAltResult, FnPtr, Position};

use super::record::Record;
use super::value::{duration, type_of};
use super::{Out, act, act_global, reject, run_of};
use crate::error::{Error, Kind};
use crate::script::error::{place_of, throw};
use crate::script::reference::Reference;
use crate::script::reference_text as reference;

#[export_module]
pub mod api {
    /// What this run is and did: `#{ id, mode, changed, unchanged, commands }`.
    ///
    /// ```rhai
    /// netns("ns-blue");
    /// netns("ns-blue");
    /// assert_eq(run().changed, 1);
    /// assert_eq(run().unchanged, 1);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn run(context: NativeCallContext) -> Out<Record> {
        let run = run_of(&context)?;
        let session = &run.0.session;
        let number = |number: u64| Dynamic::from_int(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(Record::new(
            "run",
            [
                ("id", session.id().to_owned().into()),
                ("mode", session.mode().name().into()),
                ("changed", number(session.changed())),
                ("unchanged", number(session.unchanged())),
                ("commands", number(session.log().len() as u64)),
            ],
        ))
    }

    /// An argument of the script: `--subnet X` after the script, or `--var subnet=X`; `default` otherwise, whose type decides how it is read.
    ///
    /// ```rhai
    /// let count = arg("count", 3);
    /// assert_eq(count, 3);
    /// ```
    #[rhai_fn(name = "arg", return_raw)]
    pub fn arg(context: NativeCallContext, name: &str, default: Dynamic) -> Out<Dynamic> {
        let run = run_of(&context)?;
        reject(&context, run.0.arguments.borrow_mut().take(name, &default))
    }

    /// An argument that must be given.
    ///
    /// ```rhai
    /// try { arg("subnet") } catch (e) { assert_eq(e.error, "InvalidArgument"); }
    /// ```
    #[rhai_fn(name = "arg", return_raw)]
    pub fn arg_required(context: NativeCallContext, name: &str) -> Out<Dynamic> {
        let run = run_of(&context)?;
        let value = reject(&context, run.0.arguments.borrow_mut().take(name, &Dynamic::UNIT))?;
        if value.is_unit() {
            let error = Error::new(Kind::InvalidArgument, format!("the script needs the argument `--{name}`"));
            let error = error.hint(format!("netwright run SCRIPT --{name} VALUE"));
            return Err(throw(error.at(place_of(&context))));
        }
        Ok(value)
    }

    /// A variable of the environment, or `()`.
    ///
    /// ```rhai
    /// assert_eq(env("NO_SUCH_VARIABLE"), ());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn env(context: NativeCallContext, name: &str) -> Out<Dynamic> {
        let _ = run_of(&context)?;
        if name.is_empty() || name.contains(['=', '\0']) {
            return Ok(Dynamic::UNIT);
        }
        Ok(std::env::var(name).map_or(Dynamic::UNIT, Into::into))
    }

    /// Waits. `eventually` is better wherever there is something to wait for.
    ///
    /// ```rhai
    /// sleep("10ms");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sleep(context: NativeCallContext, time: Dynamic) -> Out<()> {
        pause(&context, &time)
    }

    /// The same for a number of seconds.
    ///
    /// ```rhai
    /// sleep(0);
    /// ```
    // Rhai has a `sleep` of its own for numbers, which no Ctrl-C ends; only the very same types take its place.
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_seconds(context: NativeCallContext, seconds: i64) -> Out<()> {
        pause(&context, &seconds.into())
    }

    /// The same for a part of a second.
    ///
    /// ```rhai
    /// sleep(0.01);
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_fraction(context: NativeCallContext, seconds: f64) -> Out<()> {
        pause(&context, &seconds.into())
    }

    /// Ends the run as a success.
    ///
    /// ```rhai
    /// if netns_list().len() > 100 { exit(); }
    /// ```
    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit_ok(context: NativeCallContext) -> Out<()> {
        leave(&context, 0)
    }

    /// Ends the run with a status: 0, or 10 to 63, which mean what the script says.
    ///
    /// ```rhai
    /// if netns_list().len() > 100 { exit(10); }
    /// ```
    // Any value: Rhai has an `exit` of its own, which would take what is no integer for a success.
    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit(context: NativeCallContext, status: Dynamic) -> Out<()> {
        let number = status.as_int().map_err(|_| {
            Error::new(Kind::InvalidArgument, format!("a script exits with a number, not with {}", type_of(&status)))
                .hint("`exit()` ends the run as a success, `exit(10)` to `exit(63)` with a status of your own")
        });
        leave(&context, reject(&context, number)?)
    }

    /// Runs a function at the end of the run, however it ends; the last one first.
    ///
    /// ```rhai
    /// defer(|| print("done"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn defer(context: NativeCallContext, work: FnPtr) -> Out<()> {
        run_of(&context)?.0.deferred.borrow_mut().push(work);
        Ok(())
    }

    /// The live network as a map: `#{ schema, namespaces: [#{ name, role, links, routes, tables, rules, forwards, filter, nat }] }`.
    /// A link is `#{ name, kind, addrs, state, master, peer, detail, parent, far }`; `peer`, `parent` and `far` are `#{ netns, link }` or `()`.
    /// `tables` are the routes of further tables, `rules` the policy rules, `filter` what stops packets, `nat` what translates them, as
    /// sentences: `FORWARD policy DROP`, `tcp/443 → 10.1.0.1:8443`.
    ///
    /// ```rhai
    /// netns("ns-blue");
    /// assert(topology().namespaces.some(|ns| ns.name == "ns-blue"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn topology(context: NativeCallContext) -> Out<Dynamic> {
        let document = act_global(&context, |session| {
            session.settle_all()?;
            crate::draw::Topology::read(session).map(|topology| topology.document())
        })?;
        Ok(super::super::value::to_dynamic(&document))
    }

    /// Draws the live network: every namespace with its links, addresses, routes and NAT. What `why` blamed just before is marked with ✗.
    ///
    /// ```rhai
    /// netns("ns-blue");
    /// show();
    /// ```
    #[rhai_fn(return_raw)]
    pub fn show(context: NativeCallContext) -> Out<()> {
        let run = run_of(&context)?;
        let text = act(&context, &run, |_| run.0.picture().map(|topology| topology.text()))?;
        run.0.session.emit(&crate::session::Event::Printed(&text));
        Ok(())
    }

    /// Prints what scripts can call, by the type that it belongs to.
    ///
    /// ```rhai
    /// help();
    /// ```
    #[rhai_fn(name = "help", return_raw)]
    pub fn help(context: NativeCallContext) -> Out<()> {
        print_help(&context, None)
    }

    /// Prints the documentation of a name (`"link.addr"`, `"addr"`), a type (`"link"`) or a module (`"std/container"`).
    ///
    /// ```rhai
    /// help("link.addr");
    /// help("std/container");
    /// ```
    #[rhai_fn(name = "help", return_raw)]
    pub fn help_of(context: NativeCallContext, name: &str) -> Out<()> {
        print_help(&context, Some(name))
    }
}

/// Prints the documentation, as `netwright doc` does.
fn print_help(context: &NativeCallContext, name: Option<&str>) -> Out<()> {
    let reference = Reference::of(context.engine());
    let page = reject(context, reference.find(name))?;
    run_of(context)?.0.session.emit(&crate::session::Event::Printed(reference::text(&page).trim_end()));
    Ok(())
}

fn pause(context: &NativeCallContext, time: &Dynamic) -> Out<()> {
    let time = reject(context, duration(time))?;
    act_global(context, |session| {
        session.settle_all()?;
        session.exec().interrupt().sleep(time)
    })
}

/// Ends the run; what is outside the script's range is an error.
fn leave(context: &NativeCallContext, status: i64) -> Out<()> {
    if status != 0 && !(10..=63).contains(&status) {
        let error =
            Error::new(Kind::InvalidArgument, format!("a script exits with 0 or with 10 to 63, not with {status}"));
        let error = error.hint("1 to 9 are netwright's own: to fail, `throw` or `assert`");
        return Err(throw(error.at(place_of(context))));
    }
    Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::from_int(status), Position::NONE)))
}
