//! Descriptors that this process was begun with and did not ask for.

/// The first descriptor that is no standard stream.
const FIRST: i32 = 3;

/// Keeps what this process inherited, such as a pipe of the program that began it, from the programs
/// that it begins: databases outlive it, and whoever waits for the pipe's end would wait for theirs.
/// Called while the process has one thread.
pub(crate) fn keep_to_this_process() {
    close_fds::set_fds_cloexec(FIRST, &[]);
}
