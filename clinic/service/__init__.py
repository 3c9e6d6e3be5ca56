"""The service beside a PACS: mammograms come in by themselves, results go back by themselves.

====================  ============================================================================
:mod:`.config`        the settings of ``mammoroi serve``
:mod:`.run`           puts the parts together, stops them cleanly
:mod:`.home`          the folder in which a case moves from state to state, by rename
:mod:`.admission`     what may come in, judged by its header
:mod:`.inbox`         the one way in; duplicates; when a study is complete
:mod:`.listener`      DICOM C-STORE and C-ECHO
:mod:`.watch`         the watched folder
:mod:`.worker`        one case after the other
:mod:`.child`         the process that computes, and may die
:mod:`.destination`   STOW and C-STORE to a PACS
:mod:`.send`          the outbox: retries with back-off
:mod:`.health`        state and counters as JSON
:mod:`.log`           logging that cannot name a patient
====================  ============================================================================
"""
