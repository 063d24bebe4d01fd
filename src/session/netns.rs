//! Namespaces.

use super::{Did, Mode, Session};
use crate::error::{Error, Kind, Place, Result};
use crate::exec::netns::{NETNS_DIR, id_at, names, path_of};
use crate::model::names::netns_name;
use crate::model::{link, net_addr, suggest};
use crate::op::{self, Op, Undo, Where};
use crate::sandbox::{self, Setting};

/// Whether a namespace is a router for IPv4.
const FORWARDING: &str = "net.ipv4.ip_forward";

impl Session {
    /// The namespace `name`, made (with `lo` up, and not forwarding) if it is not there.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a bad name or a file in `/run/netns` that is no namespace; what `ip netns add` says.
    pub fn netns_ensure(&self, name: &str) -> Result<Did> {
        netns_name(name)?;
        let netns = Where::Named(name.to_owned());
        self.claim("netns", name)?;
        self.know(&netns);
        self.await_netns(name)?;
        if path_of(&netns).as_deref().and_then(id_at).is_some() {
            self.exec.netns(&netns).map_err(|error| match error.kind() {
                Kind::InvalidArgument => error.hint(format!(
                    "a broken entry left by a crash? `ip netns delete {name}` removes `{NETNS_DIR}/{name}`"
                )),
                _ => error,
            })?;
            if self.made.borrow().contains_key(name) {
                return Ok(self.count(Did::Nothing));
            }
            let text = self.query(&op::link::show(&netns, "lo"))?;
            let lo = link::parse(&text, "ip address show")?;
            let up = lo.first().is_some_and(link::Link::is_up);
            if let Some(lo) = lo.first() {
                self.need_link(lo, &op::netns::add(name))?;
            }
            if !up {
                let mut up = op::link::up(&netns, "lo");
                // The kernel gives a `lo` that comes up its addresses, and leaves them there.
                if let Undo::Commands(undo) = &mut up.undo {
                    let had = net_addr::parse(&text, "ip address show")?;
                    let has =
                        |addr: &str| had.iter().flat_map(net_addr::Addr::ipnets).any(|have| have.to_string() == addr);
                    let gone = ["127.0.0.1/8", "::1/128"].into_iter().filter(|addr| !has(addr));
                    let gone = gone.filter_map(|addr| addr.parse().ok());
                    undo.extend(gone.map(|addr| op::addr::delete(&netns, "lo", addr, &[]).command));
                }
                self.act_and_look(up)?;
            }
            return Ok(self.count(if up { Did::Nothing } else { Did::Something }));
        }
        let (name, place) = (name.to_owned(), self.place());
        self.submit(op::netns::add(&name), move |session, made| {
            made?;
            session.netns_made(&name, place)
        })?;
        Ok(self.count(Did::Something))
    }

    /// An empty namespace that this script has made may be one whose name was misspelled: the error says where, and what may be meant.
    #[must_use]
    pub fn with_origin(&self, at: &Where, error: Error) -> Error {
        let Where::Named(name) = at else { return error };
        let name = name.as_str();
        let made = |op: &op::Op| matches!(op.fact(), Some(op::Fact::Netns(one)) if one.name == *name);
        let Some(place) = self.log().iter().find(|record| made(&record.op)).and_then(|record| record.op.place.clone())
        else {
            return error;
        };
        let error = error.note("made", format!("`{name}` by line {} of this script", place.line));
        let others: Vec<String> = self.everywhere().iter().filter(|other| *other != at).map(Where::name).collect();
        crate::model::suggest::with_nearest(error, name, others.iter().map(String::as_str))
    }

    /// What a namespace that was just made still needs: `lo` up, and no forwarding. `place` is where it was asked for.
    fn netns_made(&self, name: &str, place: Option<Place>) -> Result<()> {
        let netns = Where::Named(name.to_owned());
        if path_of(&netns).as_deref().and_then(id_at).is_none() {
            let message = format!("`ip netns add {name}` reports success, but there is no namespace `{name}`");
            return Err(Error::new(Kind::ToolOutput, message)
                .hint("is `ip` really iproute2? `netwright doctor` names the program that is run")
                .netns(name.to_owned()));
        }
        self.exec.warm_up(&netns);
        if self.mode() == Mode::Sandbox {
            self.as_booted(&netns)?;
        } else if self.inherits_forwarding(&netns)? {
            let op = op::sysctl::set(&netns, FORWARDING, "0", "1");
            self.apply(Op { undo: Undo::Commands(Vec::new()), place: place.clone(), ..op })?;
        }
        self.defer(Op { place, ..op::link::lo_up(&netns, self.mark().as_deref()) }, None);
        Ok(())
    }

    /// Gives a new namespace of the sandbox the settings that it has on every machine ([`sandbox::unlike_booted`]). That belongs to the sandbox, not to
    /// the script, so it is no command of the run. What differs is the same for all, and looked for once.
    fn as_booted(&self, netns: &Where) -> Result<()> {
        let work = |known: Option<Vec<Setting>>| {
            let settings = known.unwrap_or_else(sandbox::unlike_booted);
            sandbox::put_as_booted(&settings);
            settings
        };
        let known = self.unlike_booted.borrow().clone();
        if known.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let settings = self.exec.within(netns, || work(known))?;
        *self.unlike_booted.borrow_mut() = Some(settings);
        Ok(())
    }

    /// Whether a new namespace forwards at once: the kernel gives it the IPv4 settings of the machine's own first namespace (`devinet_init_net`,
    /// `net.core.devconf_inherit_init_net`), so beside Docker every new namespace would be a router. Looked at once per run: it is the same for all.
    fn inherits_forwarding(&self, netns: &Where) -> Result<bool> {
        if let Some(known) = self.inherits_forwarding.get() {
            return Ok(known);
        }
        let forwards = self.exec.forwards(netns)?;
        self.inherits_forwarding.set(Some(forwards));
        Ok(forwards)
    }

    /// Whether the namespace is there now.
    #[must_use]
    #[expect(clippy::unused_self, reason = "a question to the session like the others")]
    pub fn netns_exists(&self, netns: &Where) -> bool {
        path_of(netns).is_none_or(|path| id_at(&path).is_some())
    }

    /// An existing namespace.
    ///
    /// # Errors
    ///
    /// `NotFound`, with the names that there are.
    pub fn netns_require(&self, netns: &Where) -> Result<()> {
        self.await_all()?;
        self.exec.netns(netns).map(drop).map_err(|error| with_netns_names(error, netns))
    }

    /// Deletes a namespace. Processes inside keep a namespace alive without a name, so they are an error.
    ///
    /// # Errors
    ///
    /// `Busy` when processes live inside; what `ip netns delete` says.
    pub fn netns_delete(&self, netns: &Where) -> Result<Did> {
        let Where::Named(name) = netns else {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("`{netns}` cannot be deleted: it is not a namespace by name"),
            )
            .hint("only what `netns(\"…\")` made, or `ip netns list` shows, can be deleted"));
        };
        self.claim("netns", name)?;
        self.settle(netns)?;
        if !self.netns_exists(netns) {
            return Ok(self.count(Did::Nothing));
        }
        let guest = self.made_links.borrow().guest_of(netns).map(|(link, home)| (link.to_owned(), home.clone()));
        // The script's own words may have taken it away.
        if let Some((link, home)) = guest
            && self.link_find((netns, &link))?.is_some()
        {
            let home = if home == Where::Host { "host()".to_owned() } else { format!("netns(\"{home}\")") };
            return Err(Error::new(
                Kind::Busy,
                format!("`{name}` holds `{link}`, which this run moved there: it would go with it"),
            )
            .hint(format!("`netns(\"{name}\").move(\"{link}\", {home})` brings it home first"))
            .netns(name.clone()));
        }
        self.exec.forget(netns);
        let pids = self.query(&op::Command::new(op::Tool::Ip, &Where::Host, ["netns", "pids", name.as_str()]))?;
        let pids: Vec<&str> = pids.split_whitespace().collect();
        if !pids.is_empty() {
            return Err(Error::new(Kind::Busy, format!("processes live in `{name}`: {}", pids.join(", ")))
                .hint("stop them first: a namespace lives on without a name while a process is inside")
                .netns(name.clone()));
        }
        self.act_and_look(op::netns::delete(name))?;
        self.made.borrow_mut().remove(name);
        Ok(self.count(Did::Something))
    }

    /// The names of the namespaces, sorted.
    ///
    /// # Errors
    ///
    /// When `/run/netns` cannot be read.
    pub fn netns_names(&self) -> Result<Vec<String>> {
        self.await_all()?;
        names()
    }
}

/// Adds the names that there are, and the nearest, or how to get one.
fn with_netns_names(error: Error, netns: &Where) -> Error {
    let names = names().unwrap_or_default();
    let error = match suggest::nearest(&netns.name(), names.iter().map(String::as_str)) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => match netns {
            Where::Named(name) => error.hint(format!("`netns(\"{name}\")` makes it")),
            Where::Path(_) | Where::Host => {
                error.hint("`ls -l /run/netns /proc/*/ns/net` shows namespaces by their files")
            }
        },
    };
    if names.is_empty() { error } else { error.label(format!("namespaces: {}", names.join(", "))) }
}
