//! Links, their settings and their addresses.

use std::collections::HashSet;

use ipnet::IpNet;

use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::link::{self, Link};
use crate::model::messages::STAYS;
use crate::model::names::link_name;
use crate::model::{addr, link_kinds, messages, net_addr, suggest};
use crate::op::{self, Op, Where};

/// A link by namespace and name.
pub(super) type At<'a> = (&'a Where, &'a str);

impl Session {
    /// A link, if it is there.
    ///
    /// # Errors
    ///
    /// When `ip` fails otherwise.
    pub fn link_find(&self, (netns, name): At<'_>) -> Result<Option<Link>> {
        if self.known.borrow().no_link(netns, name) {
            return Ok(None);
        }
        let command = op::link::show(netns, name);
        let output = self.ask(&command)?;
        if output.ok {
            let found = link::parse(&output.ran.stdout, "ip address show")?.into_iter().next();
            // A link that is not there is a failure; a success without a link is a tool that says nothing.
            let silent = || Error::new(Kind::ToolOutput, format!("`{}` succeeded and printed no link", command.line()));
            return found.map_or_else(|| Err(silent().ran(output.ran)), |link| Ok(Some(link)));
        }
        match messages::recognise(&output.ran.stderr) {
            Some(said) if said.kind == Kind::NotFound => Ok(None),
            _ => Err(super::failure(&command, output.ran)),
        }
    }

    /// A link that is to be made if it is not there. All links of a namespace are looked at once: who makes a hundred ports does not ask a
    /// hundred times, and a name that somebody took meanwhile is refused by the kernel.
    fn link_missing(&self, at: At<'_>) -> Result<Option<Link>> {
        let (netns, name) = at;
        if !self.known.borrow().knows_links(netns) {
            let names = self.links(netns)?.into_iter().map(|link| link.ifname).collect();
            self.known.borrow_mut().saw_links(netns, names);
        }
        if self.known.borrow().saw_no_link(netns, name) { Ok(None) } else { self.link_find(at) }
    }

    /// A link that must be there.
    ///
    /// # Errors
    ///
    /// `NotFound`, with the links that there are and the nearest name.
    pub fn link_require(&self, at: At<'_>) -> Result<Link> {
        self.link_find(at)?.map_or_else(|| Err(self.no_link(at)), Ok)
    }

    fn no_link(&self, (netns, name): At<'_>) -> Error {
        let names: Vec<String> =
            self.links(netns).map(|links| links.into_iter().map(|link| link.ifname).collect()).unwrap_or_default();
        let mut error = Error::new(Kind::NotFound, format!("no link `{name}` in `{netns}`"))
            .netns(netns.name())
            .label(format!("links in `{netns}`: {}", names.join(", ")));
        if let Some(near) = suggest::nearest(name, names.iter().map(String::as_str)) {
            error = error.hint(format!("did you mean `{near}`?"));
        }
        if names == ["lo"] { self.with_origin(netns, error) } else { error }
    }

    /// All links of a namespace.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn links(&self, netns: &Where) -> Result<Vec<Link>> {
        link::parse(&self.query(&op::link::show_all(netns))?, "ip address show")
    }

    /// A veth pair, both ends made in place.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a bad name; `AlreadyExists` when one of the names belongs to something else.
    pub fn veth_ensure(&self, a: At<'_>, b: At<'_>) -> Result<Did> {
        let did = self.veth(a, b, op::link::add_veth(a, b), Self::prove_later)?;
        Ok(self.count(did))
    }

    /// A veth pair, made by `op` if it is not there; `then` gets the number of that command in the log.
    pub(super) fn veth(
        &self,
        a: At<'_>,
        b: At<'_>,
        op: Op,
        then: impl FnOnce(&Self, usize) -> Result<()> + 'static,
    ) -> Result<Did> {
        link_name(a.1)?;
        link_name(b.1)?;
        if a == b {
            return Err(Error::new(Kind::InvalidArgument, format!("both ends of the veth are `{}` in `{}`", a.1, a.0))
                .hint("give one of them another name, or another namespace"));
        }
        self.claim_link(a.0, a.1)?;
        self.claim_link(b.0, b.1)?;
        match (self.link_missing(a)?, self.link_missing(b)?) {
            (None, None) => {
                let [a, b] = [a, b].map(|(netns, name)| (netns.clone(), name.to_owned()));
                self.submit(op, move |session, made| match made {
                    Ok(number) => then(session, number),
                    // Somebody made a link of that name since the last look around.
                    Err(error) if error.kind() == Kind::AlreadyExists && session.known.borrow_mut().forget_links() => {
                        Err(session.veth_taken((&a.0, &a.1), (&b.0, &b.1))?.unwrap_or(error))
                    }
                    Err(error) => Err(error),
                })?;
                Ok(Did::Something)
            }
            (Some(link), Some(peer)) if self.are_ends((a.0, &link), (b.0, &peer))? => {
                self.need_link(&link, &op)?;
                Ok(Did::Nothing)
            }
            (Some(link), other) if other.is_none() || link.kind() != Some("veth") => Err(taken(a, &link, b)),
            (_, Some(link)) => Err(taken(b, &link, a)),
            (Some(link), None) => Err(taken(a, &link, b)),
        }
    }

    /// The error of a veth one of whose names belongs to something else.
    fn veth_taken(&self, a: At<'_>, b: At<'_>) -> Result<Option<Error>> {
        Ok(match (self.link_find(a)?, self.link_find(b)?) {
            (Some(link), None) => Some(taken(a, &link, b)),
            (None, Some(link)) => Some(taken(b, &link, a)),
            _ => None,
        })
    }

    /// A link of a kind, with iproute2's options of that kind.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a bad name or option, `AlreadyExists` when the name belongs to another kind or an option cannot be changed
    /// any more, `Unsupported` when the kernel lacks the kind.
    pub fn link_ensure(&self, at: At<'_>, kind: &str, options: &[(String, String)]) -> Result<Did> {
        let (netns, name) = at;
        link_name(name)?;
        let pairs: Vec<(&str, &str)> =
            options.iter().map(|(option, value)| (option.as_str(), value.as_str())).collect();
        link_kinds::argv(kind, &pairs)?;
        self.claim_link(netns, name)?;
        let Some(link) = self.link_find(at)? else {
            link_kinds::refuse_rounded(kind, &pairs, None)?;
            let mac = self.bridge_mac(kind, at);
            let says = pairs.iter().any(|(option, _)| *option == "address");
            let own_mac = mac.iter().filter(|_| !says).map(|mac| ("address", mac.as_str()));
            let pairs: Vec<_> = own_mac.chain(pairs).collect();
            let words = link_kinds::argv(kind, &pairs)?;
            if let Some((_, lower)) =
                pairs.iter().find(|(option, _)| matches!(*option, "link" | "dev" | "slave1" | "slave2"))
            {
                self.link_require((netns, lower))?;
            }
            self.act_and_look(op::link::add(netns, name, kind, &words))
                .map_err(|error| kind_error(error, kind, &pairs))?;
            if let Some(made) = self.link_find(at)? {
                pairs.iter().try_for_each(|(option, value)| kept(kind, &made, option, value))?;
                // A macsec and an hsr take their MTU from the links below, whatever they are made with.
                for (option, value) in &pairs {
                    let can_change = link_kinds::kind(kind)?.can_change(link_kinds::option(kind, option)?);
                    if can_change && link_kinds::link_differs(kind, &made, option, value) == Some(true) {
                        self.link_option(at, kind, &made, option, value)?;
                    }
                }
            }
            return Ok(self.count(Did::Something));
        };
        if link.kind() != Some(kind) {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!("`{name}` in `{netns}` is {}, not a {kind}", describe(&link)),
            )
            .hint(format!("give the {kind} another name, or delete `{name}` first"))
            .netns(netns.name()));
        }
        link_kinds::refuse_rounded(kind, &pairs, Some(&link))?;
        self.need_link(&link, &op::link::add(netns, name, kind, &[]))?;
        let mut did = Did::Nothing;
        for (option, value) in pairs {
            did = did.or(self.link_option(at, kind, &link, option, value)?);
        }
        Ok(self.count(did))
    }

    /// The MAC address that a bridge is made with; on the machine it is another one in each run, for bridges of two machines may meet.
    fn bridge_mac(&self, kind: &str, (netns, name): At<'_>) -> Option<String> {
        let owner = if self.journal.borrow().is_some() { &self.id } else { "" };
        (kind == "bridge").then(|| op::link::bridge_mac(owner, netns, name))
    }

    pub(super) fn link_option(&self, at: At<'_>, kind: &str, link: &Link, option: &str, value: &str) -> Result<Did> {
        let (netns, name) = at;
        let differs = link_kinds::link_differs(kind, link, option, value);
        if differs == Some(false) {
            if let Ok(words) = link_kinds::change_argv(kind, &[(option, value)]) {
                self.need(&op::link::set_options(netns, name, &words, None))?;
            }
            return Ok(Did::Nothing);
        }
        if link_kinds::unknown_here(link, option) && link_kinds::is_off(kind, option, value) {
            return Ok(Did::Nothing);
        }
        let former = link_kinds::shown(kind, link, option);
        if !link_kinds::kind(kind)?.can_change(link_kinds::option(kind, option)?) {
            return match differs {
                // It cannot be seen, so nobody can say that it is otherwise.
                None => Ok(Did::Nothing),
                _ => Err(exists_with(at, kind, option, former.as_deref())),
            };
        }
        let again =
            link_kinds::companion(kind, option).and_then(|name| Some((name, link_kinds::shown(kind, link, name)?)));
        let change = |value: &str| {
            let mut words = link_kinds::change_argv(kind, &[(option, value)])?;
            if let Some((name, value)) = &again {
                words.extend([(*name).to_owned(), value.clone()]);
            }
            Ok::<_, Error>(words)
        };
        let words = change(value)?;
        if words.is_empty() {
            // There is no word for "off".
            return if differs == Some(true) {
                Err(exists_with(at, kind, option, former.as_deref()))
            } else {
                Ok(Did::Nothing)
            };
        }
        let former_words = former.as_deref().and_then(|former| change(former).ok()).filter(|words| !words.is_empty());
        self.act_and_look(op::link::set_options(netns, name, &words, former_words.as_deref())).map_err(|error| {
            let fixed = error.ran_stderr().is_some_and(|said| said.to_lowercase().contains("cannot change"));
            if fixed {
                exists_with(at, kind, option, former.as_deref())
            } else {
                kind_error(error, kind, &[(option, value)])
            }
        })?;
        if differs.is_some() {
            return Ok(Did::Something);
        }
        // Whether it differed could not be told beforehand: the link itself says whether anything changed.
        let now = self.link_require(at)?;
        kept(kind, &now, option, value)?;
        Ok(if now.raw() == link.raw() { Did::Nothing } else { Did::Something })
    }

    /// Sets a link up or down.
    ///
    /// # Errors
    ///
    /// `NotFound`; what `ip` says.
    pub fn link_up(&self, at: At<'_>, up: bool) -> Result<Did> {
        let op = if up { op::link::up(at.0, at.1) } else { op::link::down(at.0, at.1) };
        if up && self.known.borrow().is_down(at.0, at.1) {
            self.make_or_defer(op)?;
            return Ok(self.count(Did::Something));
        }
        if self.link_require(at)?.is_up() == up {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        if up {
            let number = self.make(op)?;
            self.prove_later(number)?;
        } else {
            self.act_and_look(op)?;
        }
        Ok(self.count(Did::Something))
    }

    /// Sets the MTU in bytes.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` outside 68 to 65535 (the kernel's `ETH_MIN_MTU` and `ETH_MAX_MTU`) or what the kernel refuses.
    pub fn link_mtu(&self, at: At<'_>, mtu: i64) -> Result<Did> {
        let Some(mtu) = u32::try_from(mtu).ok().filter(|mtu| (68..=65535).contains(mtu)) else {
            return Err(Error::new(Kind::InvalidArgument, format!("an MTU is between 68 and 65535 bytes, not {mtu}")));
        };
        let link = self.link_require(at)?;
        let former = link.mtu.unwrap_or(1500);
        let op = op::link::mtu(at.0, at.1, mtu, former);
        if former == mtu {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.act_and_look(op)?;
        Ok(self.count(Did::Something))
    }

    /// Sets the MAC address.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for an address that no link may have.
    pub fn link_mac(&self, at: At<'_>, mac: &str) -> Result<Did> {
        let mac = addr::mac(mac)?;
        let link = self.link_require(at)?;
        let op = op::link::mac(at.0, at.1, &mac, link.address.as_deref());
        if link.address.as_deref() == Some(mac.as_str()) {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.act_and_look(op)?;
        Ok(self.count(Did::Something))
    }

    /// Makes a link the port of a bridge, bond or VRF of the same namespace; `None` frees it.
    ///
    /// # Errors
    ///
    /// `NotFound` for either; what `ip` says.
    pub fn link_master(&self, at: At<'_>, master: Option<&str>) -> Result<Did> {
        let link = self.link_require(at)?;
        let former = link.master.as_deref();
        let op = op::link::master(at.0, at.1, master, former);
        if former == master {
            if master.is_some() {
                self.need(&op)?;
            }
            return Ok(self.count(Did::Nothing));
        }
        if let Some(master) = master {
            self.link_require((at.0, master))?;
        }
        self.act_and_look(op)?;
        Ok(self.count(Did::Something))
    }

    /// Renames a link. When only the new name is there, it was done before.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when both names are there; `Busy` while the link is up, on kernels before 6.? that refuse it.
    pub fn link_rename(&self, at: At<'_>, new: &str) -> Result<Did> {
        link_name(new)?;
        let (netns, name) = at;
        if name == new {
            return Ok(self.count(Did::Nothing));
        }
        match (self.link_find(at)?, self.link_find((netns, new))?) {
            (None, Some(_)) => Ok(self.count(Did::Nothing)),
            (None, None) => Err(self.no_link(at)),
            (Some(_), Some(other)) => Err(there_already((netns, new), &other)),
            (Some(_), None) => {
                self.act_and_look(op::link::rename(netns, name, new))?;
                Ok(self.count(Did::Something))
            }
        }
    }

    /// Moves a link to another namespace. When it is only there, it was done before.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when both namespaces have a link of that name; `Unsupported` for a kind that the kernel keeps where it was made, and for the machine's
    /// own namespace where process 1 is in another one, for which `ip` has no word.
    pub fn link_move(&self, at: At<'_>, to: &Where) -> Result<Did> {
        let (from, name) = at;
        // Two namespaces in one command: what waits in either goes first.
        self.settle_all()?;
        let id = |netns: &Where| self.exec.netns(netns).map(|file| file.id());
        if from == to || id(from)? == id(to)? {
            self.link_require(at)?;
            return Ok(self.count(Did::Nothing));
        }
        if name == "lo" {
            return Err(Error::new(
                Kind::InvalidArgument,
                "the loopback link `lo` cannot move: every namespace has its own",
            )
            .netns(from.name()));
        }
        self.claim_link(from, name)?;
        self.claim_link(to, name)?;
        match (self.link_find(at)?, self.link_find((to, name))?) {
            (None, Some(_)) => Ok(self.count(Did::Nothing)),
            (None, None) => Err(self.no_link(at)),
            (Some(_), Some(other)) => {
                Err(there_already((to, name), &other)
                    .hint(format!("rename one of them first: `link.rename(\"{name}1\")`")))
            }
            (Some(_), None) => {
                if *to == Where::Host || *from == Where::Host {
                    self.need_word_for_machine(name)?;
                }
                // Older kernels refuse it without a word: `Invalid argument`.
                let refused = |error: Error| match error.kind() {
                    Kind::InvalidArgument => error.hint(format!("perhaps {STAYS}")),
                    _ => error,
                };
                self.act_and_look(op::link::moved(from, name, to)).map_err(refused)?;
                Ok(self.count(Did::Something))
            }
        }
    }

    /// Whether the word for the machine's namespace means it: on the way there, and on the way back.
    fn need_word_for_machine(&self, name: &str) -> Result<()> {
        let own = self.exec.netns(&Where::Host)?.id();
        if crate::exec::netns::id_at(std::path::Path::new(op::link::MACHINE)) == Some(own) {
            return Ok(());
        }
        let text = format!(
            "`{name}` cannot move between the machine's namespace and another: process 1 is not in it, and `ip` has no other word for it"
        );
        Err(Error::new(Kind::Unsupported, text)
            .hint("give the namespace that plays the machine a process 1 (`unshare --net --pid --fork --mount-proc`), or a name"))
    }

    /// Deletes a link, if it is there.
    ///
    /// # Errors
    ///
    /// What `ip` says, for instance for `lo`.
    pub fn link_delete(&self, at: At<'_>) -> Result<Did> {
        self.claim_link(at.0, at.1)?;
        if self.link_find(at)?.is_none() {
            return Ok(self.count(Did::Nothing));
        }
        if at.1 == "lo" {
            return Err(Error::new(Kind::InvalidArgument, "the loopback link `lo` cannot be deleted")
                .hint("`link.down()` sets it down; it goes with its namespace")
                .netns(at.0.name()));
        }
        self.act_and_look(op::link::delete(at.0, at.1))?;
        Ok(self.count(Did::Something))
    }

    /// An address on a link.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link; what `ip` says, for instance where IPv6 is disabled.
    pub fn addr_ensure(&self, at: At<'_>, addr: IpNet) -> Result<Did> {
        let (netns, name) = at;
        let have = || -> Result<HashSet<IpNet>> {
            let links = self.addrs_of(at)?;
            if let Some(link) = links.first() {
                self.known.borrow_mut().saw_index(netns, name, link.ifindex);
            }
            Ok(links.iter().flat_map(net_addr::Addr::ipnets).collect())
        };
        let fresh = self.known.borrow().no_address(netns, name, addr);
        if !fresh && self.known.borrow().saw_address(netns, name, addr) {
            return Ok(self.count(Did::Nothing));
        }
        // Looked at once for many: one that somebody added meanwhile is refused by the kernel.
        let seen = self.known.borrow().saw_no_address(netns, name, addr);
        if !fresh && !seen {
            let all = have()?;
            let there = all.contains(&addr);
            self.known.borrow_mut().saw_addresses(netns, name, all);
            if there {
                return Ok(self.count(Did::Nothing));
            }
        }
        let op = op::addr::add(netns, name, addr);
        if fresh {
            self.make_or_defer(op)?;
        } else {
            match self.make(op) {
                Ok(number) => self.prove_later(number)?,
                Err(error)
                    if error.kind() == Kind::AlreadyExists && self.known.borrow_mut().forget_addresses(netns, name) =>
                {
                    if !have()?.contains(&addr) {
                        return Err(error);
                    }
                    return Ok(self.count(Did::Nothing));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.count(Did::Something))
    }

    /// Takes an address off a link, if it is there.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link; what `ip` says.
    pub fn addr_delete(&self, at: At<'_>, addr: IpNet) -> Result<Did> {
        let (netns, name) = at;
        let links = self.addrs_of(at)?;
        let infos = links.iter().filter_map(|link| link.raw().get("addr_info")).filter_map(|infos| infos.as_array());
        let mut words = infos.flatten().filter_map(|info| crate::model::state::addr_words(info.as_object()?));
        let Some(words) = words.find_map(|(have, words)| (have.parse() == Ok(addr)).then_some(words)) else {
            return Ok(self.count(Did::Nothing));
        };
        self.act_and_look(op::addr::delete(netns, name, addr, &words))?;
        Ok(self.count(Did::Something))
    }

    /// The addresses of a link.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link.
    pub fn addrs_of(&self, at: At<'_>) -> Result<Vec<net_addr::Addr>> {
        let command = op::link::show(at.0, at.1);
        let output = self.ask(&command)?;
        if output.ok {
            return net_addr::parse(&output.ran.stdout, "ip address show");
        }
        self.link_require(at)?;
        Err(super::failure(&command, output.ran))
    }

    /// The addresses of all links of a namespace.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn addrs(&self, netns: &Where) -> Result<Vec<net_addr::Addr>> {
        net_addr::parse(&self.query(&op::link::show_all(netns))?, "ip address show")
    }

    /// The link of the default route, IPv4 first.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no default route.
    pub fn uplink(&self, netns: &Where) -> Result<String> {
        use op::route::Family;
        for family in [Family::V4, Family::V6] {
            let text = self.query(&op::route::show(netns, family, "default", None))?;
            let routes = crate::model::route::parse(&text, "ip route show default")?;
            if let Some(dev) = routes.into_iter().find_map(|route| route.dev) {
                return Ok(dev);
            }
        }
        Err(Error::new(Kind::NotFound, format!("`{netns}` has no default route, so it has no uplink"))
            .hint(format!("name the link: `{}.link(\"eth0\")`", if *netns == Where::Host { "host()" } else { "ns" }))
            .netns(netns.name()))
    }
}

/// An option that the kernel took and then knows nothing of: it was built without it.
fn kept(kind: &str, link: &Link, option: &str, value: &str) -> Result<()> {
    if !link_kinds::unknown_here(link, option) || link_kinds::is_off(kind, option, value) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unsupported,
        format!("this kernel has no `{option}` for links of kind {kind}: it takes it and forgets it"),
    )
    .hint("a kernel that was built with it is needed; `netwright doctor` lists what this one has"))
}

/// What `Unsupported` is about: the kernel's words do not name the kind, and where it has the kind it lacks an option.
fn kind_error(mut error: Error, kind: &str, options: &[(&str, &str)]) -> Error {
    if error.kind() != Kind::Unsupported || error.ran_stderr().is_some_and(messages::is_unknown_word) {
        return error;
    }
    // A kernel that lacks the kind says so; one that lacks an option says only `Operation not supported`.
    let lacks_kind = error.ran_stderr().is_some_and(|said| said.contains("Unknown device type"));
    let own: Vec<&str> = options.iter().map(|(name, _)| *name).filter(|name| !link_kinds::is_common(name)).collect();
    error.parts_mut().hints.clear();
    if lacks_kind || own.is_empty() {
        error.parts_mut().message = format!("this kernel has no links of kind {kind}");
        return error
            .hint(format!("`modprobe {kind}` as root may load it; `netwright doctor` lists what the kernel has"));
    }
    error.parts_mut().message = match own[..] {
        [one] => format!("this kernel has no `{one}` for links of kind {kind}"),
        _ => format!("this kernel lacks one of these for links of kind {kind}: `{}`", own.join("`, `")),
    };
    error.hint("a kernel that was built with it is needed; `netwright doctor` lists what this one has")
}

/// The error of a name that another link has.
fn there_already((netns, name): At<'_>, other: &Link) -> Error {
    Error::new(Kind::AlreadyExists, format!("`{name}` in `{netns}` is there already: {}", describe(other)))
        .netns(netns.name())
}

/// The error of a link that has another value of an option that cannot be changed.
fn exists_with((netns, name): At<'_>, kind: &str, option: &str, former: Option<&str>) -> Error {
    let error = Error::new(
        Kind::AlreadyExists,
        format!("`{name}` in `{netns}` exists with {option} {}", former.unwrap_or("unset")),
    )
    .netns(netns.name());
    match link_kinds::way_off(kind, option) {
        Some(way) => error.hint(format!("`ip` has no word that turns {option} of a {kind} off: {way}")),
        None => error.hint(format!("{option} of a {kind} cannot be changed: delete `{name}` first")),
    }
}

/// The error of a name that belongs to something else than the veth that is wanted.
fn taken(at: At<'_>, link: &Link, other: At<'_>) -> Error {
    let (netns, name) = at;
    Error::new(
        Kind::AlreadyExists,
        format!("`{name}` in `{netns}` is {}, not a veth to `{}` in `{}`", describe(link), other.1, other.0),
    )
    .hint(format!("give the veth another name, or delete `{name}` first"))
    .netns(netns.name())
}

/// What a link is, in a few words.
pub(super) fn describe(link: &Link) -> String {
    match link.kind() {
        Some("veth") => "the end of another veth".into(),
        Some(kind) => format!("a {kind}"),
        None if link.is_loopback() => "the loopback link".into(),
        None => "a physical link".into(),
    }
}
