// SPDX-License-Identifier: Apache-2.0
#include "core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

// What the user can do about a failed write.
const char* way_out(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return " (the disk is full: free some space or write elsewhere)";
    case EFBIG:
      return " (a file size limit is set: see `ulimit -f`)";
    case EROFS:
    case EACCES:
    case EPERM:
      return " (the folder cannot be written: choose another one)";
    case ENOENT:
      return " (the folder does not exist: create it first)";
    default:
      return "";
  }
}

Status write_error(const std::string& path, int error) {
  return io_error("{}: cannot write: {}{}", path, std::strerror(error), way_out(error));
}

Status write_all(int fd, const std::string& path, std::span<const ByteSpan> parts) {
  for (ByteSpan rest : parts)
    while (!rest.empty()) {
      const ssize_t n = ::write(fd, rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return write_error(path, errno);
      rest = rest.subspan(static_cast<size_t>(n));
    }
  return {};
}

// Some file systems report a full disk only here.
Status sync_and_close(FileDescriptor fd, const std::string& path) {
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != EROFS) return write_error(path, errno);
  return {};
}

Status write_in_place(const std::string& path, std::span<const ByteSpan> parts) {
  const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() < 0) return write_error(path, errno);
  return write_all(fd.get(), path, parts);
}

// A new file beside `target`; its name is in `path`. O_EXCL and not mkstemp, so that the umask gives the
// mode.
Result<FileDescriptor> create_beside(const std::string& target, std::string& path) {
  static std::atomic<unsigned> serial{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    path = fmt::format("{}.{}-{}.tmp", target, ::getpid(), serial.fetch_add(1));
    FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.get() >= 0) return fd;
    if (errno != EEXIST) break;
  }
  return write_error(target, errno);
}

// Makes the rename itself durable; not every file system allows it, and the content is safe already.
void sync_folder(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  const FileDescriptor fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() >= 0) (void)::fsync(fd.get());
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<OpenFile> open_regular_file(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes must not hang.
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return io_error("{}: cannot open: {}", path, std::strerror(errno));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return io_error("{}: cannot read: {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return io_error("{}: is a folder, not a file", path);
  if (!S_ISREG(info.st_mode)) return io_error("{}: is not a regular file", path);
  return OpenFile{std::move(fd), static_cast<size_t>(info.st_size)};
}

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  VTL_ASSIGN(const OpenFile file, open_regular_file(path));
  if (file.size > max_bytes)
    return bad_input("{}: has {} bytes; at most {} are expected here", path, file.size, max_bytes);
  // Files of /proc and /sys say size 0 or 4096 and hold something else: read until the end.
  std::string content;
  std::array<char, 65536> buffer;
  content.reserve(file.size);
  while (true) {
    const ssize_t n = ::read(file.fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("{}: cannot read: {}", path, std::strerror(errno));
    if (n == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(n));
    if (content.size() > max_bytes)
      return bad_input("{}: grew beyond the {} bytes that are expected here", path, max_bytes);
  }
}

Status write_file_atomically(const std::string& path, std::span<const ByteSpan> parts) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) return io_error("{}: is a folder, not a file", path);
  if (fs::exists(status) && !fs::is_regular_file(status)) return write_in_place(path, parts);

  std::string target = path;
  if (fs::is_symlink(fs::symlink_status(path, error))) {
    target = fs::weakly_canonical(path, error).string();
    if (error) return io_error("{}: cannot follow the symbolic link: {}", path, error.message());
  }
  std::string temporary;
  VTL_ASSIGN(FileDescriptor fd, create_beside(target, temporary));
  Status written = write_all(fd.get(), path, parts);
  if (written.ok() && fs::exists(status)) {  // keep the mode of the file that is replaced
    const auto mode = static_cast<mode_t>(status.permissions());
    if (::fchmod(fd.get(), mode & 07777) != 0) written = write_error(path, errno);
  }
  if (written.ok()) written = sync_and_close(std::move(fd), path);
  if (written.ok() && std::rename(temporary.c_str(), target.c_str()) != 0) written = write_error(path, errno);
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  sync_folder(target);
  return {};
}

Status write_file_atomically(const std::string& path, std::string_view text) {
  const ByteSpan bytes = std::as_bytes(std::span(text.data(), text.size()));
  return write_file_atomically(path, std::span(&bytes, 1));
}

}  // namespace vitrail
