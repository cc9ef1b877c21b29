/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* errno to enum error, for the files of io/. */

#include "base/error.h"

/* E_LOCAL_IO for every number without a code of its own; never E_OK. */
enum error error_from_errno(int number);
