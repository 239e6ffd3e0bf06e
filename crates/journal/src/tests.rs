//! Tests that own the disk: random histories with crashes, every crash point, damage, full disks, and bugs on purpose.

mod bugs;
mod crash_points;
mod damage;
mod harness;
mod histories;
mod space;
