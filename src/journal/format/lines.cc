// Reads the lines of all segments of a journal.
#include "journal/format/lines.h"

#include <agentrun/journal.h>
#include <agentrun/sys/error.h>
#include <sys/stat.h>

#include <cstring>

#include "journal/format/run_files.h"

namespace agentrun::journal {

namespace {
constexpr std::size_t buffer_size = 256 * 1024;
}  // namespace

std::string place(std::uint64_t index, unsigned segment, std::uint64_t number) {
  return "record " + std::to_string(index) + " (" + files::segment(segment) + " line " + std::to_string(number) + ")";
}

LineReader::LineReader(const Fd& directory)
    : directory_(&directory), file_(open_segment(0)), buffer_(std::make_unique_for_overwrite<char[]>(buffer_size)) {}

std::optional<Fd> LineReader::open_segment(unsigned number) {
  auto file = files::try_regular(*directory_, files::segment(number));
  if (!file && files::exists(*directory_, files::segment(number)))
    broken_ = files::segment(number) + ": not a regular file";
  return file;
}

bool LineReader::next(Line& line) {
  while (file_ && !broken_) {
    const char* start = buffer_.get() + begin_;
    const auto* lf = static_cast<const char*>(std::memchr(start, '\n', end_ - begin_));
    if (lf != nullptr) {
      const auto size = static_cast<std::size_t>(lf - start);
      if (size + 1 > max_record) break;
      begin_ += size + 1;
      line = {.data = {start, size}, .index = index_++, .segment = segment_, .number = ++number_};
      return true;
    }
    if (end_ - begin_ >= max_record) break;
    if (!refill() && !end_segment()) return false;
  }
  if (file_ && !broken_) broken_ = place(index_, segment_, number_ + 1) + ": longer than a record can be";
  return false;
}

bool LineReader::refill() {
  std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const ssize_t n = check(retry_eintr([&] { return ::read(file_->get(), buffer_.get() + end_, buffer_size - end_); }),
                          "read", files::segment(segment_));
  end_ += static_cast<std::size_t>(n);
  read_ += static_cast<std::uint64_t>(n);
  return n > 0;
}

std::uint64_t LineReader::bytes() const {
  std::uint64_t sum = 0;
  for (unsigned number = 0;; ++number) {
    const auto file = files::try_regular(*directory_, files::segment(number));
    struct stat st {};
    if (!file || ::fstat(file->get(), &st) != 0) return sum;
    sum += static_cast<std::uint64_t>(st.st_size);
  }
}

/// Moves to the next segment; false when there is none.
bool LineReader::end_segment() {
  auto following = open_segment(segment_ + 1);
  if (broken_) return false;
  if (!following) {
    torn_ = end_ - begin_;
    file_.reset();
    return false;
  }
  if (end_ != begin_) {
    broken_ = place(index_, segment_, number_ + 1) + ": torn, but another segment follows";
    return false;
  }
  file_ = std::move(following);
  ++segment_;
  number_ = 0;
  return true;
}

}  // namespace agentrun::journal
