// Theory of operation. One thread, one poll loop. In order:
//   (run.cc: agent-run-nft is started, for later → prepare: profiles, policy, plan) → the sandbox begins to
//   build itself → journal → the broker is forked, and egress when something may leave → the sandbox stands before its go
//   byte → both are admitted, confined, serving → go → loop → the command has ended, or a guarantee cannot be kept →
//   sandbox dead → their counts → journal.close under a signed checkpoint.
// Must not: let the agent exec before the broker is ready; let anything of the sandbox live when the broker, egress, the
// journal or this process fails. The children carry PDEATHSIG, so the last holds for kill -9 of this process too.
#include "supervisor/session.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <agentrun/broker.h>
#include <agentrun/egress.h>
#include <agentrun/journal.h>
#include <agentrun/policy/objects.h>
#include <agentrun/review.h>
#include <agentrun/sys/error.h>
#include <agentrun/sys/process.h>
#include "supervisor/aftermath.h"
#include "supervisor/keeper.h"
#include "supervisor/records.h"
#include "supervisor/remarks.h"
#include "supervisor/signals.h"
#include "supervisor/sinks.h"
#include "supervisor/terminal.h"
#include "supervisor/written.h"

namespace agentrun::supervisor {

namespace {

constexpr int seal_period_ms = 100;
constexpr int start_deadline_ms = 30'000;
constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t stop_patience = 5'000 * ms;  // from a SIGTSTP until what handles it has stopped

// Lower case counts first, and HTTP_PROXY in capitals does not count where a web server might have set it (httpoxy): here
// a person did.
egress::Proxies proxies_of_environment() {
  const auto either = [](const char* lower, const char* upper) -> std::string {
    for (const char* name : {lower, upper}) {
      if (const char* const value = ::getenv(name); value != nullptr && *value != '\0') return value;
    }
    return {};
  };
  return {.https = either("https_proxy", "HTTPS_PROXY"),
          .http = either("http_proxy", "HTTP_PROXY"),
          .all = either("all_proxy", "ALL_PROXY"),
          .no = either("no_proxy", "NO_PROXY")};
}

// What is not in agent-run's hands when a proxy connects for it; empty when none does.
std::string proxies_line(const policy::Policy& policy) {
  if (policy.openings().empty()) return {};
  const egress::Proxies proxies = proxies_of_environment();
  if (proxies.https.empty() && proxies.http.empty() && proxies.all.empty()) return {};
  return "connections go through the proxy of your environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY): names are judged by the addresses "
         "that they have here, and the proxy may find others";
}

// What to do about a journal that cannot be written.
std::string journal_remedy(std::string_view error, const std::string& state_directory) {
  if (error == errno_name(journal::altered_errno)) {
    return "another program of yours wrote or replaced the run's files below " + state_directory +
           " (or the disk gives back other bytes): find out which; what the run itself recorded is in its journal";
  }
  if (error == "EFBIG") {
    return "the journal does not fit under the file size limit (RLIMIT_FSIZE) that agent-run was started with: start it where "
           "`ulimit -H -f` says more; only the soft limit (`ulimit -S -f`) can be kept for the command alone";
  }
  if (error == "EACCES" || error == "EPERM" || error == "EROFS")
    return "give yourself the right to write in " + state_directory + " (chmod -R u+rwX) or choose another place with --journal";
  if (error == "ENOENT" || error == "ENOTDIR" || error == "ESTALE")
    return "something in " + state_directory + " was removed or moved while the run went on: leave it alone, or choose another place with --journal";
  if (error == "EIO") return "the disk below " + state_directory + " fails: look into the kernel's log, and choose another place with --journal";
  if (error == "EDQUOT") return "your quota is used up: make room below " + state_directory + " or choose another place with --journal";
  if (error == "ENOSPC") return "make room below " + state_directory + " or choose another place with --journal";
  return "look at " + state_directory + " or choose another place with --journal";
}

/// One run, from the journal on.
class Session {
 public:
  Session(Prepared& prepared, const Options& options, Summary& summary)
      : prepared_(prepared), options_(options), summary_(summary) {}

  ~Session() {
    sandbox_.reset();
    broker_.reset();
    egress_.reset();
    sinks_.reset();
    release_overlays();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void execute(sandbox::RulesetLoader loader) {
    if (!prepared_.overlays.empty())
      overlays_.emplace(review::Overlays::create(prepared_.state_directory, prepared_.run, prepared_.overlays));
    std::optional<sandbox::LaunchError> refused;
    try {
      sandbox_.emplace(sandbox::Sandbox::begin(prepared_.plan, std::move(loader)));  // it builds while the journal is made
    } catch (const sandbox::LaunchError& e) {
      refused = e;
    }
    try {
      open_journal();
    } catch (const std::exception&) {
      if (refused) throw sandbox::LaunchError(*refused);  // the first cause is the one to tell
      throw;
    }
    try {
      if (refused) throw sandbox::LaunchError(*refused);
      start();
      loop();
    } catch (const sandbox::LaunchError& e) {
      fail_launch(e);
    } catch (const Refusal& e) {
      fail("failed", e.what(), e.remedy());
    } catch (const std::exception& e) {
      fail("failed", e.what(), "");
    }
    close();
  }

 private:
  void open_journal() {
    summary_.run = prepared_.run;
    journal_.emplace(prepared_, options_.argv);
    summary_.journal = journal_->directory();
    tell_of_index();
    remember_written();
    if (!prepared_.sinks.empty()) start_sinks();
  }

  void close_journal() {
    journal_->close(closing_);
    tell_of_index();
  }

  void tell_of_index() {
    if (const std::string notice = journal_->take_notice(); !notice.empty() && options_.warn) options_.warn(notice);
  }

  // Before the agent can write there.
  void remember_written() {
    std::vector<std::string> folders;
    for (const policy::Grant& grant : prepared_.policy.view()) {
      if (policy::changes_host(grant.access)) folders.push_back(grant.path);
    }
    const std::string state = prepared_.state_directory;
    WrittenFolders({state}).remember(state, folders);
    for (const std::string& other : prepared_.other_states) remember_elsewhere(other, folders);
  }

  // A later run that keeps its state elsewhere has to know as well: what this one's agent may change, and where its keys are.
  // Nobody can run with a state directory that cannot be made.
  void remember_elsewhere(const std::string& other, const std::vector<std::string>& folders) const {
    if (::access(other.c_str(), F_OK) != 0) return;
    try {
      WrittenFolders({other}).remember(other, folders);
      WrittenFolders({other}, Memory::states).remember(other, {prepared_.state_directory});
    } catch (const SysError& e) {
      if (e.error() != EACCES && e.error() != EROFS) throw;
    }
  }

  void start_sinks() {
    std::vector<std::string> urls;
    std::vector<std::size_t> numbers;
    for (const PreparedSink& sink : prepared_.sinks) {
      numbers.push_back(urls.size());
      urls.push_back(sink.target.url);
    }
    sink::write_urls(journal_->directory(), urls);
    sinks_.emplace(prepared_.sinks, numbers,
                   Sinks::Of{.run_directory = journal_->directory(), .origin = journal_->origin(), .identity = &journal_->identity()}, options_.warn);
  }

  // Broker and egress are forked while the sandbox still builds itself.
  void start() {
    if (prepared_.policy.weakened(policy::Weakening::floor_only)) return sandbox_->await();
    if (prepared_.policy.has_egress()) {
      names_.emplace();
      egress_.emplace(egress::Egress::start({
          .policy = &prepared_.policy,
          .names = &*names_,
          .entries = journal_->appender(),
          .durability = journal_->durability(),
          .run = summary_.run,
          .proxies = proxies_of_environment(),
      }));
    }
    broker_.emplace(broker::Broker::start({
        .sandbox_pidfd = sandbox_->init().get(),
        .entries = journal_->appender(),
        .policy = &prepared_.policy,
        .reads = prepared_.reads,
        .run = summary_.run,
        .program = program_path(),
        .receivers = receiver_count(),
        .durability = journal_->durability(),
        .redactor = &journal_->redactor(),
        .link = egress_ ? egress_->take_link() : Fd(),
        .names = names_ ? &*names_ : nullptr,
    }));
    journal_->add_writer(broker_->events());
    if (egress_) journal_->add_writer(egress_->events());
    sandbox_->await();
    if (egress_) egress_->admit(sandbox_->take_sockets(), sandbox_->init());
    broker_->admit(sandbox_->take_listener(), sandbox_->agent_pid());
    require_ready(*broker_, broker::Event::Kind::ready, "the broker");
    if (egress_) require_ready(*egress_, egress::Event::Kind::ready, "egress");
  }

  template <typename Process, typename Kind>
  static void require_ready(const Process& process, Kind kind, const std::string& name) {
    pollfd ready{.fd = process.events().get(), .events = POLLIN, .revents = 0};
    if (retry_eintr([&] { return ::poll(&ready, 1, start_deadline_ms); }) != 1) throw Refusal(name + " did not start in time");
    const auto first = process.next_event();
    if (first && first->kind == kind) return;
    const bool knows = first && !first->remedy.empty();
    throw Refusal(name + " did not start: " + (first ? first->text : "it died"), knows ? first->remedy : "agent-run doctor");
  }

  void loop() {
    const Signals& signals = signals_.emplace();
    Terminal terminal(sandbox_->terminal() ? sandbox_->terminal().get() : -1,
                      prepared_.plan.terminal_held_back ? Terminal::Mode::held_back : Terminal::Mode::foreground);
    if (const auto wall = prepared_.policy.limits().wall_seconds) {
      deadline_ = boot_clock_ns() + static_cast<std::int64_t>(*wall) * 1000 * ms;
    }
    if (overlays_) overlays_->await_clock();
    const std::string weakened = weakenings_line(prepared_);
    if (!weakened.empty() && options_.warn) options_.warn(weakened);
    const std::string& left_out = prepared_.policy.denied_objects().left_out();
    if (!left_out.empty() && options_.warn) options_.warn("links at names that files.deny denies were not all followed: " + left_out);
    for (const std::string& remark : prepared_.remarks.sentences) {
      if (options_.warn) options_.warn(remark);
    }
    const std::string proxies = proxies_line(prepared_.policy);
    if (!proxies.empty() && options_.warn) options_.warn(proxies);
    sandbox_->go();
    summary_.started = went_ = true;
    while (!ended_) step(signals, terminal);
    sandbox_->kill();
    terminal.drain(500);
  }

  void step(const Signals& signals, Terminal& terminal) {
    std::vector<pollfd> fds = {
        {.fd = sandbox_->status_fd().get(), .events = POLLIN, .revents = 0},
        {.fd = broker_ ? broker_->events().get() : -1, .events = POLLIN, .revents = 0},
        {.fd = signals.fd(), .events = POLLIN, .revents = 0},
        {.fd = egress_ ? egress_->events().get() : -1, .events = POLLIN, .revents = 0},
        {.fd = journal_->wake().get(), .events = POLLIN, .revents = 0},
    };
    if (sinks_) sinks_->add_interests(fds);
    const std::size_t own = fds.size();
    const auto interests = terminal.interests();
    fds.insert(fds.end(), interests.begin(), interests.end());
    const int ready = ::poll(fds.data(), fds.size(), seal_period_ms);
    terminal.take();  // `fg` of a job that was not stopped sends no signal
    if (ready < 0 && errno != EINTR) throw SysError(errno, "poll", "");
    if (ready > 0) {
      terminal.relay({fds.begin() + static_cast<std::ptrdiff_t>(own), fds.end()});
      if (fds[2].revents != 0) on_signal(signals.next(), terminal);
      if (fds[1].revents != 0) on_broker();
      if (fds[3].revents != 0) on_egress();
      if (fds[0].revents != 0 && !ended_) on_change(terminal);
      if (sinks_) sinks_->relay();
    }
    seal();
    if (deadline_ && boot_clock_ns() >= *deadline_ && !ended_) on_time_limit();
  }

  void on_signal(int signal, Terminal& terminal) {
    if (signal == SIGTSTP) asked_to_stop_ = boot_clock_ns();
    if (signal == SIGWINCH) terminal.resize();
    if (signal != SIGWINCH || terminal.held_back()) sandbox_->forward(signal);
    if (signal == SIGCONT) terminal.take();
  }

  static constexpr const char* denied_image = "denied-image";

  void on_broker() {
    const auto event = broker_->next_event();
    if (event && event->kind == broker::Event::Kind::kill)
      return on_denied_image(event->text);
    if (event && event->kind == broker::Event::Kind::notice) {
      if (options_.warn) options_.warn(event->text);
      return;
    }
    hear(event, "broker-died", "the broker");
  }

  // Traces, and what was said before the command's end and is read after it: a command that is denied its last act may be faster.
  void on_late(const broker::Event& event) {
    using Kind = broker::Event::Kind;
    if (event.kind == Kind::denial) summary_.first_denials.emplace_back(event.text, event.remedy);
    if (event.kind == Kind::trace) aftermath_.add(event);
    if (event.kind != Kind::kill || !is_whole() || closing_.reason == denied_image) return;
    ended_ = false;
    on_denied_image(event.text);
  }

  void on_denied_image(const std::string& path) { fail(denied_image, "a program that is not allowed ran and was killed: " + path, ""); }

  void on_egress() { hear(egress_->next_event(), "egress-died", "the process that lets connections out"); }

  // What both of them say.
  template <typename Event>
  void hear(const std::optional<Event>& event, const char* reason, const std::string& who) {
    using Kind = decltype(Event::kind);
    if (!event) return fail(reason, who + " died, so the sandbox was killed", "agent-run doctor; the journal tells what was done until then");
    switch (event->kind) {
      case Kind::denial: summary_.first_denials.emplace_back(event->text, event->remedy); return;
      case Kind::journal_fail:
        return fail_journal(event->text, "the journal could not be written (" + event->text + "), so the sandbox was killed");
      case Kind::moved: return moved();
      default: return fail(reason, who + " said something unexpected: " + event->text, "");
    }
  }

  // Ctrl-Z, as outside: the person's shell sees this job stop, and `fg` goes on with both. With the agent's own terminal the
  // keys are for that, so a stop of the command in the foreground is the job's; else this process was asked to stop, and the
  // command followed. Any other stop is the agent's own affair: this process seals, watches and ends the run, and is not
  // stopped by whom it watches. While it is, nothing of the sandbox runs, and pid 1 keeps limits.wall.
  void on_stop(Terminal& terminal, int signal) {
    if (terminal.held_back() && (signal == SIGTTIN || signal == SIGTTOU)) return on_use(terminal);
    const bool by_keys = terminal.in_foreground() && !terminal.held_back();
    const bool asked = asked_to_stop_ && boot_clock_ns() - *asked_to_stop_ < stop_patience;
    asked_to_stop_.reset();
    if (!by_keys && !asked) return;
    if (!stop_with_the_agent(terminal, by_keys ? 0 : ::getpid())) return;
    sandbox_->resume();
    terminal.take();
    terminal.resize();
  }

  // True when this job goes on: the command is still to be resumed then.
  bool stop_with_the_agent(Terminal& terminal, pid_t target) {
    sandbox_->pause();
    seal();
    if (ended_) return false;
    terminal.give_back(Terminal::Unread::keep);
    Signals::stop(target);
    return true;
  }

  // It reads or sets its terminal, from which it was held back. A whole job in the background stops for that, as outside. The
  // terminal is given before it goes on: else it is stopped by the same call again, and that would pass for a key's.
  void on_use(Terminal& terminal) {
    const bool stopped = !terminal.in_foreground();
    if (stopped && !stop_with_the_agent(terminal, 0)) return;
    terminal.bring_forward();
    terminal.resize();
    sandbox_->give_terminal();
    if (stopped) sandbox_->resume();
  }

  void on_time_limit() {
    summary_.limit = "the time limit of " + std::to_string(*prepared_.policy.limits().wall_seconds) + " s was reached: killed";
    end("time-limit", 124);
  }

  void on_change(Terminal& terminal) {
    using Kind = sandbox::Sandbox::Change::Kind;
    const auto change = sandbox_->next_change();
    if (!change) return;
    switch (change->kind) {
      case Kind::exited: return on_exit(change->status);
      case Kind::lost:
        if (out_of_memory()) return end("oom", 128 + SIGKILL);
        return fail("sandbox-lost", "the sandbox died unexpectedly", "");
      case Kind::continued: return;
      case Kind::timed_out: return on_time_limit();
      case Kind::stopped: return on_stop(terminal, WSTOPSIG(change->status));
    }
  }

  void on_exit(int status) {
    // By SIGTERM: systemd before 253 ends a scope in which a process was killed for want of memory.
    const bool killed = WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    if (out_of_memory() && killed) return end("oom", sandbox::Exit{status}.code());
    end("exited", sandbox::Exit{status}.code());
  }

  // The kernel kills single processes; the command may go on without them.
  bool out_of_memory() {
    closing_.oom_kills = sandbox_->oom_kills();
    if (closing_.oom_kills == 0) return false;
    summary_.limit = "limits.memory: " + std::to_string(closing_.oom_kills) + " process" +
                     (closing_.oom_kills == 1 ? " was" : "es were") + " killed for want of memory";
    return true;
  }

  void moved() {
    try {
      journal_->moved();
    } catch (const SysError& e) {
      fail_journal(errno_name(e.error()), std::string("the journal could not be sealed: ") + e.what());
    }
  }

  void seal() {
    try {
      if (sinks_) record(sinks_->take_lost(boot_clock_ns()));
      journal_->seal();
    } catch (const SysError& e) {
      fail_journal(errno_name(e.error()), std::string("the journal could not be sealed: ") + e.what());
    }
  }

  void record(const std::vector<Lost>& lost) {
    for (const Lost& one : lost) closing_.lost += one.count;
    journal_->record(lost);
  }

  void fail_journal(std::string_view error, const std::string& what) {
    journal_error_ = error;
    fail("journal-failed", what, journal_remedy(error, prepared_.state_directory.string()));
  }

  void end(std::string reason, int code) {
    if (ended_) return;
    ended_ = true;
    closing_.reason = std::move(reason);
    closing_.exit_code = code;
  }

  void fail(std::string reason, const std::string& error, const std::string& remedy) {
    if (ended_) return;
    summary_.error = error;
    summary_.remedy = remedy;
    end(std::move(reason), 125);
  }

  // What the broker refused it has told before it replied: the rule that refused is what to change.
  void fail_launch(const sandbox::LaunchError& e) {
    const bool refused = e.stage == "exec" && e.error == EACCES && !summary_.first_denials.empty();
    const std::string unshown = e.stage == "exec" && e.error == ENOENT ? remedy_of_unshown(prepared_, options_.argv.front()) : std::string();
    const std::string otherwise = unshown.empty() ? e.remedy() : unshown;
    fail("start-failed", e.what(), refused ? "it was denied; to allow it: " + summary_.first_denials.back().second : otherwise);
    if (e.stage != "exec") return;
    summary_.started = false;
    closing_.exit_code = e.error == ENOENT ? 127 : 126;
  }

  [[nodiscard]] bool is_whole() const {
    return closing_.reason != "broker-died" && closing_.reason != "egress-died" && closing_.reason != "journal-failed";
  }

  // Who does not say its last word may have left records out: such a journal is not closed, whatever the command came to.
  // Before the command began there was nothing to leave out.
  template <typename Event>
  bool is_last_word(const std::optional<Event>& word, const char* reason, const std::string& who) {
    using Kind = decltype(Event::kind);
    if (word && word->kind == Kind::counts) return true;
    if (!went_ || !is_whole()) return false;
    ended_ = false;
    if (word) fail_journal(word->text, "the journal could not be written to its end (" + word->text + ")");
    else fail(reason, who + " did not tell what it did last", "agent-run doctor; the journal tells what was done until then");
    return false;
  }

  void close() {
    if (sandbox_) sandbox_->kill();
    make_room();
    if (broker_) {
      const auto counts = broker_->finish([this](const broker::Event& event) { on_late(event); });
      if (is_last_word(counts, "broker-died", "the broker")) {
        closing_.decisions = summary_.decisions = counts->decisions;
        closing_.denials = summary_.denials = counts->denials;
        closing_.absent = summary_.absent = counts->absent;
      }
    }
    if (egress_) {
      const auto counts = egress_->finish();
      if (is_last_word(counts, "egress-died", "the process that lets connections out")) {
        closing_.traffic = summary_.traffic = Traffic{.flows = counts->flows, .bytes_out = counts->bytes_out, .bytes_in = counts->bytes_in,
                                                      .questions = counts->questions, .refused = counts->refused, .dropped = counts->dropped};
      }
    }
    // Nobody writes any more: who said its last word was dismissed, and is waited for below. But the broker's end is the end of
    // the view, and overlays are released after it.
    if (!went_ || !is_whole() || overlays_) end_services();
    release_overlays();
    summary_.aftermath = aftermath_.sentences();
    summary_.exit_code = closing_.exit_code;
    // A journal whose writer died is not closed: verify calls it INCOMPLETE, and that is the truth.
    // Signals wait, so that the journal is closed; one that comes ends the waiting for receivers.
    try {
      if (!signals_) signals_.emplace();
      if (is_whole() && sinks_) record(sinks_->drain(journal_->records(), interrupt()));
      if (is_whole()) close_journal();
      else if (!journal_error_.empty()) journal_->fail(journal_error_, summary_.error);
      else journal_->leave();
    } catch (const std::exception& e) {
      const auto* failed = dynamic_cast<const SysError*>(&e);
      journal_->fail(failed != nullptr ? errno_name(failed->error()) : "EIO", e.what());
      if (summary_.error.empty()) fail_to_close(e);
    }
    end_services();
    finish_sinks();
    while (signals_ && signals_->next() != 0) {  // the command, whom they were for, has ended
    }
  }

  // The last records of the others need room in their ledgers, and nothing is sealed while their last words are awaited.
  void make_room() {
    try {
      (void)journal_->records();
    } catch (const std::exception&) {
      // Closing meets it again, and says so.
    }
  }

  void end_services() {
    broker_.reset();
    egress_.reset();
  }

  void fail_to_close(const std::exception& e) {
    const auto* failed = dynamic_cast<const SysError*>(&e);
    summary_.error = std::string("the journal could not be closed: ") + e.what();
    summary_.remedy = journal_remedy(failed != nullptr ? errno_name(failed->error()) : "", prepared_.state_directory.string());
    summary_.exit_code = 125;
  }

  void finish_sinks() {
    if (!sinks_) return;
    std::uint64_t records = 0;
    try {
      records = journal_->records();
    } catch (const std::exception&) {
      // The journal is broken: they have what they have.
    }
    sinks_->finish(records, interrupt());
    summary_.unsent = sinks_->unsent(records, summary_.run);
  }

  // Who asks a second time does not want to wait for receivers.
  Sinks::Interrupt interrupt() {
    if (!signals_) return {};
    return {.fd = signals_->fd(), .came = [this] {
              const int signal = signals_->next();
              return signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT;
            }};
  }

  // Once nothing of the sandbox lives. What cannot be tidied up stays for `discard`.
  void release_overlays() noexcept {
    if (!overlays_) return;
    try {
      summary_.held = overlays_->finish();
    } catch (const std::exception&) {
      summary_.held = true;
    }
    overlays_.reset();
  }

  Prepared& prepared_;
  const Options& options_;
  Summary& summary_;
  std::optional<review::Overlays> overlays_;
  std::optional<Keeper> journal_;
  std::string journal_error_;  // the errno's name, once it cannot be written
  std::optional<sandbox::Sandbox> sandbox_;
  std::optional<egress::Names> names_;
  std::optional<egress::Egress> egress_;
  std::optional<broker::Broker> broker_;
  std::optional<Sinks> sinks_;
  std::optional<Signals> signals_;
  std::optional<std::int64_t> deadline_;
  std::optional<std::int64_t> asked_to_stop_;  // when SIGTSTP came from outside
  Closing closing_;
  Aftermath aftermath_;
  bool went_ = false;  // the command was let go
  bool ended_ = false;
};

}  // namespace

void carry_out(Prepared& prepared, const Options& options, Summary& summary, sandbox::RulesetLoader loader) {
  Session(prepared, options, summary).execute(std::move(loader));
}

}  // namespace agentrun::supervisor
