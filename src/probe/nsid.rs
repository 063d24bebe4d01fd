//! The ids by which a namespace knows others: the `link_netnsid` of links.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::changes::socket;
use super::dump::Attributes;

/// From `linux/rtnetlink.h`, `linux/netlink.h` and `linux/net_namespace.h`.
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NLM_F_REQUEST: u16 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// Asks the kernel which id the namespace that it was opened in has for another. `ip netns list-id` tells the same by opening every name
/// there is, in a process.
#[derive(Debug)]
pub struct Ids(OwnedFd);

impl Ids {
    /// Asks on behalf of the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        socket(None, &[]).map(Self)
    }

    /// The id of a namespace; `None` when it has none here.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn of(&self, netns: impl AsFd) -> io::Result<Option<i32>> {
        let mut request = Vec::with_capacity(28);
        request.extend(28_u32.to_ne_bytes());
        request.extend(RTM_GETNSID.to_ne_bytes());
        request.extend(NLM_F_REQUEST.to_ne_bytes());
        // The number of the request and of the sender, `struct rtgenmsg` and its padding.
        request.extend([0; 12]);
        request.extend(8_u16.to_ne_bytes());
        request.extend(NETNSA_FD.to_ne_bytes());
        request.extend(netns.as_fd().as_raw_fd().to_ne_bytes());
        send(&self.0, &request, SendFlags::empty())?;
        // rtnetlink answers before `send` returns.
        let mut answer = [0; 512];
        let (_, length) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        Ok(answered(answer.get(..length).unwrap_or_default()))
    }
}

/// The index of a link of the calling thread's namespace; `None` when there is none of that name.
///
/// # Errors
///
/// What the kernel says.
pub fn link_index(name: &str) -> io::Result<Option<u32>> {
    match rustix::net::netdevice::name_to_index(socket(None, &[])?, name) {
        Ok(index) => Ok(Some(index)),
        Err(rustix::io::Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The id in an answer: a header of 16 bytes, `struct rtgenmsg` of 4, then attributes. -1 is none.
fn answered(answer: &[u8]) -> Option<i32> {
    if answer.get(4..6)? != RTM_NEWNSID.to_ne_bytes() {
        return None;
    }
    let (_, id) = Attributes(answer.get(20..)?).find(|(kind, _)| *kind == NETNSA_NSID)?;
    let id = i32::from_ne_bytes(id.get(..4)?.try_into().ok()?);
    (id >= 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_an_index() {
        assert_eq!(link_index("lo").unwrap(), Some(1), "LOOPBACK_IFINDEX");
        assert_eq!(link_index("no such link").unwrap(), None);
    }

    #[test]
    fn a_namespace_has_no_id_for_one_that_no_link_leads_to() {
        let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let ids = Ids::open().unwrap();
        // Whatever it says, it says it at once, and again.
        assert_eq!(ids.of(&own).unwrap(), ids.of(&own).unwrap());
        let none = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(ids.of(&none).ok().flatten(), None, "what is no namespace has no id");
    }

    #[test]
    fn answers_are_read_and_garbage_is_not() {
        let mut answer = vec![0; 28];
        answer[4..6].copy_from_slice(&RTM_NEWNSID.to_ne_bytes());
        answer[20..22].copy_from_slice(&8_u16.to_ne_bytes());
        answer[22..24].copy_from_slice(&NETNSA_NSID.to_ne_bytes());
        answer[24..28].copy_from_slice(&7_i32.to_ne_bytes());
        assert_eq!(answered(&answer), Some(7));
        answer[24..28].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(answered(&answer), None);
        for length in 0..28 {
            assert_eq!(answered(&answer[..length]), None);
        }
        assert_eq!(answered(&[88; 64]), None);
        let mut endless = vec![0; 64];
        endless[4..6].copy_from_slice(&RTM_NEWNSID.to_ne_bytes());
        assert_eq!(answered(&endless), None);
    }
}
