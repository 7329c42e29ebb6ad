//! The original's own tests, as what they are after, on both layouts (`checklist`); its faults, each as a test it would
//! fail (`faults`); and what neither asks for (`frames`).
//!
//! Java's tests of disk-buffering, and where their intent is tested here (`to_disk::tests` and
//! `to_disk::serialization_tests` where it says so). Times are in milliseconds, by a clock that the tests turn.
//!
//! | FolderManagerTest | here |
//! | --- | --- |
//! | createWritableFile_withTimeMillisAsName | a_file_is_named_by_the_millisecond_at_which_it_was_begun |
//! | clearFiles | clearing_leaves_no_file |
//! | createWritableFile_andRemoveOldestOne_… | a_full_folder_lets_go_of_its_oldest_file_only |
//! | closeCurrentlyWritableFile_whenItIsReadyToBeRead_… | a_reader_that_finds_nothing_has_an_old_file_finished |
//! | closeCurrentlyReadableFileIfAny_whenItIsTheOldestOne_… | a_file_may_be_let_go_of_while_it_is_read |
//! | createWritableFile_andDoNotRemoveOldestOne_… | an_expiry_that_makes_room_spares_what_is_not_expired |
//! | purgeExpiredForReadFiles_whenCreatingNewOne | expired_files_are_deleted_when_a_new_one_is_begun |
//! | closeExpiredReadableFileInUseIfAny_… | a_file_that_expires_while_it_is_read_is_given_up |
//! | provideFileForRead_afterItsMinFileAgeForReadTimePassed | a_file_is_read_as_soon_as_it_is_old_enough |
//! | provideOldestFileForRead_whenMultiple… | reading_goes_from_the_oldest_file_to_the_newest |
//! | provideOldestFileForRead_withCustomFilter | what_was_given_is_not_given_again_in_the_same_session |
//! | provideNullFileForRead_whenNoFilesAreAvailable | an_empty_folder_gives_nothing |
//! | provideNullFileForRead_whenOnlyWritableFiles… | a_file_that_is_being_written_is_not_read |
//! | createWritableFile_ignoresNonNumericFiles… | files_of_others_are_left_alone |
//! | clear_throwsIOException_whenFolderIsUnreadable | clearing_a_folder_that_is_gone_fails_with_the_reason |
//! | provideNullFileForRead_whenReadableFilesAreExpired | a_file_past_its_reading_age_is_not_read |
//! | renameFilesToFinalName_whenTmpFilesFoundOnStart | what_a_crash_left_unfinished_is_finished_at_the_next_opening |
//!
//! | StorageTest | here |
//! | --- | --- |
//! | writeAndRead | two_batches_of_one_file_come_back_one_by_one_in_order |
//! | interactionAfterClosed | after_closing_nothing_goes_in_and_nothing_comes_out |
//! | whenTheReadTimeExpires_lookForNewFileToRead | an_expired_file_is_passed_over_for_the_next_one (differs) |
//! | whenNoMoreLinesToRead_lookForNewFileToRead | reading_goes_on_in_the_next_file_and_the_emptied_one_is_gone |
//! | whenDeleteClosesFile_nextReadRecoversGracefully | removing_the_last_batch_of_a_file_does_not_end_the_reading |
//! | whenReadingMultipleFilesWithoutDeleting_… | reading_without_removing_keeps_every_file |
//! | afterReadSessionEnds_canReReadUnDeletedFiles | what_was_not_removed_comes_again_in_the_next_session |
//! | deleteFilesWithCorruptedData | garbage_is_passed_over_…, garbage_among_frames_is_set_aside_… |
//!
//! | StorageIteratorTest | here |
//! | --- | --- |
//! | explicitMode_removeBeforeNext, _doubleRemove | removing_nothing_is_an_error_in_the_originals_words |
//! | autoDeleteMode_removeBeforeNext_stillThrows | removing_nothing_is_an_error_in_the_originals_words |
//! | explicitMode_iterateWithRemove_deletesFiles | removing_every_batch_leaves_no_file |
//! | explicitMode_iterateWithoutRemove_preservesFiles | reading_without_removing_keeps_every_file |
//! | explicitMode_iterateAcrossMultipleFiles_withRemove | removing_every_batch_leaves_no_file |
//! | explicitMode_iterateAcrossMultipleFiles_withoutRemove | reading_without_removing_keeps_every_file |
//! | explicitMode_selectiveRemove_onlyDeletesRemovedItems | removing_some_keeps_the_others, and in one file |
//! | autoDeleteMode_iterateDeletesFiles | asking_for_more_removes_what_was_given |
//! | autoDeleteMode_iterateAcrossMultipleFiles_deletesAll | asking_for_more_removes_what_was_given |
//!
//! | ReadableFileTest, WritableFileTest, FileStreamTest | here |
//! | --- | --- |
//! | readAndRemoveItems | removing_some_keeps_the_others |
//! | whenReadingLastLine_deleteOriginalFile_and_close | removing_the_last_batch_of_a_file_does_not_end_the_reading |
//! | whenNoMoreLinesAvailableToRead_… (an empty file) | w7_empty_files_of_crashes_are_deleted_and_hide_nothing |
//! | whenReadingAfterTheConfiguredReadingTimeExpired_close | a_file_past_its_reading_age_is_not_read |
//! | whenReadingAfterClosed_returnNull | after_closing_nothing_goes_in_and_nothing_comes_out |
//! | getCreatedTimeMillis (open, closed) | a_file_is_named_by_the_millisecond_at_which_it_was_begun |
//! | hasNotExpired, hasExpired, append to an expired one | a_file_is_written_to_until_exactly_its_writing_age |
//! | appendDataInNewLines_andIncreaseSize | each_batch_makes_its_file_longer |
//! | append without enough space | a_batch_that_does_not_fit_begins_the_next_file |
//! | append to a closed one | after_closing_nothing_goes_in_and_nothing_comes_out |
//! | staged until close, promoted on close | a_file_has_its_final_name_when_it_is_finished |
//! | truncateTop | what_is_left_is_returned_again_and_again_also_after_reopening |
//!
//! | SignalStorageExporterTest, IntegrationTest, serialization | here |
//! | --- | --- |
//! | success | to_disk::tests: what_is_written_is_told_and_stands_in_the_order_of_the_exports |
//! | failure without a cause, with a cause | to_disk::tests: after_its_shutdown_…, a_failure_reaches_… |
//! | three signals in three modes | to_disk::tests: each_signal_is_exported_and_read_… (three) |
//! | serializers, deserializers, mappers | to_disk::serialization_tests; requests that are no OTLP: tests/otlp |

//!
//! What differs on purpose, and is tested as it is here:
//!
//! * whenTheReadTimeExpires_…: there an expired file is skipped, and deleted when the next one is begun. So it is here in
//!   the original's layout; of frames it is deleted, and counted, by looking for a batch.
//! * whenReadingAfterTheConfiguredReadingTimeExpired_close: there a file is picked, and gives nothing, at exactly the
//!   reading age. Here it is not picked then in the original's layout, and is still read in frames.
//! * whenNoMoreLinesAvailableToRead_…: there an empty file is closed and kept; here it is deleted at opening.
//! * deleteFilesWithCorruptedData: there three of four are deleted; here all four are set aside at once.
//! * clear_throwsIOException_…: there a folder that cannot be listed; here one that is gone, which cannot either.
//!
//! Not applicable, because there is nothing like it here:
//!
//! * writeAndRead asks for a batch before the last one is closed, and getCreatedTimeMillis asks a closed file: a batch is
//!   bytes that belong to whoever asked, and a file is nobody's to ask.
//! * whenReadingAfterClosed_returnNull, and an append to a closed file, of single files: there is only the storage to close.
//! * SignalStorageExporterTest, failure without a cause: a storage always says why. Only an exporter that is shut down
//!   gives no cause.
//! * Serialization of summaries: the SDK makes none. They are bytes like others to a storage.

mod checklist;
mod counting_disk;
mod faults;
mod frames;
mod rig;
