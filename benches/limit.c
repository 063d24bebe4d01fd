// limit.c: what the kernel itself needs for star-N and chain-N, and a stop-watch. Part of benches/run.sh.
//
//   limit build star|chain N    raw rtnetlink: many messages at a time, no helper process but one iptables-restore
//   limit down  star|chain N    takes the same away again
//   limit time CMD…             runs CMD; prints on descriptor 3: wall, CPU and peak memory of the largest process, forks
//
// The same network as star.rhai and chain.rhai make. No error is passed over: the first ends it with status 1.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 48, ROOM = 65536, BRIDGE = 1000000, UPLINK = 1000001 };

static void die(const char *what) {
    fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
    exit(1);
}

// Messages on their way to one socket.
static struct {
    char bytes[ROOM];
    size_t length;
    int count;
    struct nlmsghdr *last;
} out;

static int open_socket(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) die("socket");
    return fd;
}

// Sends what was collected and reads an answer for each.
static void flush(int fd) {
    static char answer[ROOM];
    if (out.count == 0) return;
    if (send(fd, out.bytes, out.length, 0) < 0) die("send");
    while (out.count > 0) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got < 0) die("recv");
        for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, got); h = NLMSG_NEXT(h, got)) {
            if (h->nlmsg_type != NLMSG_ERROR) continue;
            int error = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
            if (error) {
                errno = -error;
                die("rtnetlink");
            }
            out.count--;
        }
    }
    out.length = 0;
}

static void begin(int fd, int type, int flags, const void *head, size_t length) {
    if (out.count == BATCH) flush(fd);
    out.last = (void *)(out.bytes + out.length);
    *out.last = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
                                   .nlmsg_len = NLMSG_LENGTH(length) };
    memcpy(NLMSG_DATA(out.last), head, length);
    out.length += NLMSG_ALIGN(out.last->nlmsg_len);
    out.count++;
}

// The end of the last message.
static char *end(void) { return (char *)out.last + NLMSG_ALIGN(out.last->nlmsg_len); }

static struct rtattr *attribute(int type, const void *data, size_t length) {
    struct rtattr *a = (void *)end();
    a->rta_type = type;
    a->rta_len = RTA_LENGTH(length);
    if (length) memcpy(RTA_DATA(a), data, length);
    out.last->nlmsg_len = NLMSG_ALIGN(out.last->nlmsg_len) + RTA_ALIGN(a->rta_len);
    out.length = (size_t)(end() - out.bytes);
    return a;
}

static void text(int type, const char *s) { attribute(type, s, strlen(s) + 1); }
static void number(int type, unsigned n) { attribute(type, &n, sizeof n); }
static void close_nest(struct rtattr *nest) { nest->rta_len = (unsigned short)(end() - (char *)nest); }

static void raw(const void *data, size_t length) {
    memcpy(end(), data, length);
    out.last->nlmsg_len = NLMSG_ALIGN(out.last->nlmsg_len) + NLMSG_ALIGN(length);
    out.length = (size_t)(end() - out.bytes);
}

static void bridge(int fd, const char *name) {
    struct ifinfomsg head = { .ifi_index = BRIDGE, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    begin(fd, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    text(IFLA_IFNAME, name);
    struct rtattr *info = attribute(IFLA_LINKINFO, 0, 0);
    text(IFLA_INFO_KIND, "bridge");
    close_nest(info);
}

// A cable: one end here, up; the other in a namespace.
static void veth(int fd, const char *name, int index, int master, const char *peer, int peer_index, int netns) {
    struct ifinfomsg head = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    begin(fd, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    text(IFLA_IFNAME, name);
    if (master) number(IFLA_MASTER, (unsigned)master);
    struct rtattr *info = attribute(IFLA_LINKINFO, 0, 0);
    text(IFLA_INFO_KIND, "veth");
    struct rtattr *data = attribute(IFLA_INFO_DATA, 0, 0), *other = attribute(VETH_INFO_PEER, 0, 0);
    head = (struct ifinfomsg){ .ifi_index = peer_index }; // it comes up when both are there
    raw(&head, sizeof head);
    text(IFLA_IFNAME, peer);
    number(IFLA_NET_NS_FD, (unsigned)netns);
    close_nest(other);
    close_nest(data);
    close_nest(info);
}

static void up(int fd, int index) {
    struct ifinfomsg head = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    begin(fd, RTM_NEWLINK, 0, &head, sizeof head);
}

static void address(int fd, int index, const char *addr, int length) {
    struct in_addr ip;
    inet_pton(AF_INET, addr, &ip);
    struct ifaddrmsg head = { .ifa_family = AF_INET, .ifa_prefixlen = (unsigned char)length, .ifa_index = (unsigned)index };
    begin(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    attribute(IFA_LOCAL, &ip, sizeof ip);
    attribute(IFA_ADDRESS, &ip, sizeof ip);
}

static void route(int fd, const char *destination, int length, const char *gateway) {
    struct in_addr ip, dst;
    inet_pton(AF_INET, gateway, &ip);
    inet_pton(AF_INET, destination, &dst);
    struct rtmsg head = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
                          .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST, .rtm_dst_len = (unsigned char)length };
    begin(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    if (length) attribute(RTA_DST, &dst, sizeof dst);
    attribute(RTA_GATEWAY, &ip, sizeof ip);
}

static void set(const char *path, const char *value) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) die(path);
    close(fd);
}

static int home;

static const char *path_of(const char *name) {
    static char path[80];
    snprintf(path, sizeof path, "/run/netns/%.63s", name);
    return path;
}

// A namespace with a name; its file. The calling process is back at home afterwards.
static int netns(const char *name) {
    int fd = open(path_of(name), O_RDONLY | O_CREAT | O_EXCL, 0);
    if (fd < 0 || close(fd)) die(name);
    if (unshare(CLONE_NEWNET) || mount("/proc/self/ns/net", path_of(name), "none", MS_BIND, 0)) die(name);
    fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(home, CLONE_NEWNET)) die(name);
    return fd;
}

static void shell(const char *line) {
    if (system(line)) die(line);
}

static char a[64], b[64];
static const char *say(char *into, const char *form, int x, int y, int z) {
    snprintf(into, 64, form, x, y, z);
    return into;
}

static void build_star(int n) {
    int fd = open_socket(), wan = netns("wan");
    up(fd, 1);
    bridge(fd, "br0");
    veth(fd, "up0", UPLINK, 0, "wan0", 2, wan);
    flush(fd);
    int *all = calloc((size_t)n + 1, sizeof *all);
    for (int i = 1; i <= n; i++) all[i] = netns(say(a, "n%d", i, 0, 0));
    for (int i = 1; i <= n; i++) veth(fd, say(a, "v%d", i, 0, 0), i + 100, BRIDGE, "eth0", 2, all[i]);
    address(fd, BRIDGE, "10.0.255.254", 16);
    address(fd, UPLINK, "198.51.100.1", 30);
    route(fd, "0.0.0.0", 0, "198.51.100.2");
    flush(fd);
    set("/proc/sys/net/ipv4/ip_forward", "1");
    shell("printf '*nat\\n-A POSTROUTING -s 10.0.0.0/8 -o up0 -j MASQUERADE\\nCOMMIT\\n' | iptables-restore -n");
    for (int i = 0; i <= n; i++) {
        int there = i ? all[i] : wan;
        if (setns(there, CLONE_NEWNET)) die("setns");
        int in = open_socket();
        up(in, 1);
        up(in, 2);
        address(in, 2, i ? say(a, "10.0.%d.%d", i / 250, i % 250 + 2, 0) : "198.51.100.2", i ? 16 : 30);
        if (i) route(in, "0.0.0.0", 0, "10.0.255.254");
        flush(in);
        close(in);
        close(there);
    }
    if (setns(home, CLONE_NEWNET)) die("setns");
}

// c0 – c1 – … – cN: each has a cable to the one before and its default route by it, and 10.0.0.0/8 by the one behind.
static void build_chain(int n) {
    int before = netns("c0"), fd = -1;
    for (int i = 0; i <= n; i++) {
        int next = i < n ? netns(say(a, "c%d", i + 1, 0, 0)) : -1;
        if (setns(before, CLONE_NEWNET)) die("setns");
        fd = open_socket();
        up(fd, 1);
        if (i) {
            up(fd, 2);
            address(fd, 2, say(a, "10.%d.%d.2", i / 250, i % 250, 0), 30);
            route(fd, "0.0.0.0", 0, say(b, "10.%d.%d.1", i / 250, i % 250, 0));
        }
        if (i < n) {
            veth(fd, "right", 3, 0, "left", 2, next);
            address(fd, 3, say(a, "10.%d.%d.1", (i + 1) / 250, (i + 1) % 250, 0), 30);
            route(fd, "10.0.0.0", 8, say(b, "10.%d.%d.2", (i + 1) / 250, (i + 1) % 250, 0));
        }
        if (i == 0) address(fd, 1, "198.51.100.1", 32);
        flush(fd);
        close(fd);
        set("/proc/sys/net/ipv4/ip_forward", "1");
        close(before);
        if (setns(home, CLONE_NEWNET)) die("setns");
        before = next;
    }
}

static void down(int star, int n) {
    for (int i = star ? 0 : -1; i <= n; i++) {
        const char *name = star ? (i ? say(a, "n%d", i, 0, 0) : "wan") : say(a, "c%d", i, 0, 0);
        if (!star && i < 0) continue;
        if (umount2(path_of(name), MNT_DETACH) || unlink(path_of(name))) die(name);
    }
    if (!star) return;
    int fd = open_socket();
    struct ifinfomsg head = { .ifi_index = BRIDGE };
    begin(fd, RTM_DELLINK, 0, &head, sizeof head);
    flush(fd);
    shell("printf '*nat\\n-D POSTROUTING -s 10.0.0.0/8 -o up0 -j MASQUERADE\\nCOMMIT\\n' | iptables-restore -n");
}

static long forks(void) {
    char line[256];
    long all = 0;
    FILE *stat = fopen("/proc/stat", "re");
    while (stat && fgets(line, sizeof line, stat)) sscanf(line, "processes %ld", &all);
    if (stat) fclose(stat);
    return all;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int stop_watch(char **command) {
    long before = forks();
    double begun = now();
    pid_t child = fork();
    if (child == 0) {
        fcntl(3, F_SETFD, FD_CLOEXEC);
        execvp(command[0], command);
        die(command[0]);
    }
    int status;
    struct rusage used;
    if (child < 0 || wait4(child, &status, 0, &used) < 0) die("wait");
    double took = now() - begun;
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    dprintf(3, "%.6f %.3f %ld %ld\n", took, cpu, used.ru_maxrss, forks() - before);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int count, char **words) {
    if (count > 2 && !strcmp(words[1], "time")) return stop_watch(words + 2);
    int n = count == 4 ? atoi(words[3]) : 0, star = count == 4 && !strcmp(words[2], "star");
    if (n < 1 || (!star && strcmp(words[2], "chain"))) {
        fprintf(stderr, "limit build|down star|chain N, limit time CMD…\n");
        return 2;
    }
    struct rlimit files = { 65536, 65536 };
    setrlimit(RLIMIT_NOFILE, &files);
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    mkdir("/run/netns", 0755);
    if (!strcmp(words[1], "down")) down(star, n);
    else if (star) build_star(n);
    else build_chain(n);
    return 0;
}
