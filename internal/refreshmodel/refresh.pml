/* The refresh of one connection at a provider that rotates refresh tokens and
   revokes the whole grant when a spent one is used again (the class strict).

   Two workers, a provider, a network that loses requests and answers, a person
   who connects again at any moment, a crash after every step, either store out
   of reach, and writes whose acknowledgement is lost. spin tries every order of
   these. doc.go says which method of internal/refresh each label stands for.

       spin -a -DBOUND -DFENCE -DSPILL -DNATT=1 refresh.pml
       cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
       ./pan -m400000
       spin -t -p -g -DBOUND -DFENCE -DSPILL -DNATT=1 refresh.pml   (after an error: how it came about)

   The rules of the protocol. Each is needed: without it a counter-example is found.
     BOUND      a lease runs out only when its holder is certainly dead
     FENCE      tokens are written only under the fence that the writer claimed
     SPILL      what the row does not take goes to a second store, and who claims after
                a lease that ran out looks there before it sends
   Mistakes that cost a grant. Each, put in, brings a counter-example too.
     LATE          the provider works on a request after its sender gave up: no settle time
     SPLITREAD     the refresh token is read after the claim instead of by the claim
     EARLYRELEASE  the lease is released before the spill was looked for
     BLIND         the spill cannot be read, and the refresh token is sent all the same
     UNFENCED      with SEARCH: what the search finds is stored whatever became of the row
   And how much is searched.
     NATT       attempts of each worker
     SEARCH     one spill may be written later than anybody waits for it, and the sweep
                searches the spill for what no claim would find

   The properties.
     P1  no spent refresh token is sent while its live successor is in the row, in the
         spill or with a worker
     P2  the row never goes back to an older token or an older grant
     P3  one store out of reach, the other not: no tokens are lost
     P4  when the faults end, one more sweep leaves no lease behind, and, unless an answer
         was truly lost, the row holds the live refresh token
     P5  a new grant survives the refreshes of the old one */
#ifndef NATT
#define NATT 2
#endif
#define WORKERS 2
#define FENCES 10      /* more than any run reaches */
#define NOBODY 255

/* The row of the connection. Every operation on it is atomic: one conditional
   write of a single item. A grant is 0, or 1 after the reconnect. A refresh token is
   known by the number of rotations before it. The phase stands for lease_id and
   connection_status. */
mtype = { FREE, LEASED, REAUTHORIZATION_REQUIRED };
byte  row_grant=0, row_token=0, row_fence=1, row_stored_fence=1, row_holder=NOBODY;
mtype row_phase=FREE;

/* The spill: by the fence of the attempt, 0 for none, else 1 + 8*grant + token.
   Who reads it sees what was written. */
byte spilled[FENCES];

#ifdef SEARCH
byte late=0, late_fence; /* what is still to come */
#endif

/* The provider, for each grant: the one refresh token that it takes, and whether it
   has revoked the grant. */
byte live[2];
bool revoked[2];

/* The network, for each worker: one request at most and its answer. */
#define NO_ANSWER     0
#define TOKENS        1
#define INVALID_GRANT 2
#define UNKNOWN       3   /* 5xx, a torn body, a reset */
bool under_way[WORKERS], awaited[WORKERS];
byte sent_grant[WORKERS], sent_token[WORKERS], answer[WORKERS], answer_token[WORKERS];

/* What only an observer knows. A grant is lost when its live refresh token reached
   nobody who could keep it: no protocol of a client can save it then. */
bool alive[WORKERS], lost[2], reconnected=false;
byte finished=0;

/* The write of tokens to the row. Its condition is the fence. */
inline store(g, t, f) {
#ifdef FENCE
  if :: row_fence==f -> assert(g>row_grant || (g==row_grant && t>=row_token)); /* P2 */
        row_grant=g; row_token=t; row_stored_fence=f; row_phase=FREE
     :: else -> skip fi
#else
  assert(g>row_grant || (g==row_grant && t>=row_token)); /* P2 */
  row_grant=g; row_token=t; row_stored_fence=f; row_phase=FREE
#endif
}

/* The look at the spill, and the write of what is there. The newest counts. */
inline look() {
  atomic { k=fence-1; next=0;
    do :: k>stored_fence && spilled[k]==0 -> k-- :: else -> break od;
    if :: k>stored_fence && spilled[k]>0 -> grant=(spilled[k]-1)/8; token=(spilled[k]-1)%8; next=1; store(grant,token,fence)
       :: else -> skip fi;
    k=0 }
}

proctype Worker(byte id) {
  byte attempts=0, seen, fence, grant, token, next, stored_fence, k; mtype phase; byte holder; bool interrupted, claimed;
again:
  if :: attempts==NATT -> goto stop :: else -> attempts++ fi;

prepare: /* What is due, as the worker has heard of it. All that may be missing is here, or the worker stops. */
  atomic { alive[id]=true; next=0; seen=row_fence; phase=row_phase; holder=row_holder };
  if :: phase==REAUTHORIZATION_REQUIRED -> goto leave
     :: phase==LEASED ->
#ifdef BOUND
        if :: (holder==NOBODY || !alive[holder]) -> interrupted=true :: else -> goto leave fi
#else
        if :: interrupted=true :: goto leave fi        /* the lease may run out at any moment */
#endif
     :: phase==FREE -> interrupted=false fi;
  if :: skip :: goto crash fi;

claim: /* One conditional write. It brings the old image: tokens, stored fence, a lease that ran out. */
  atomic { if :: row_fence==seen && row_phase==phase && (phase!=LEASED || row_holder==holder) ->
                 row_fence=seen+1; row_phase=LEASED; row_holder=id;
                 fence=seen+1; grant=row_grant; token=row_token; stored_fence=row_stored_fence; claimed=true
              :: else -> claimed=false fi };
  if :: !claimed -> goto leave :: else -> skip fi;
  if :: skip :: goto crash fi;                         /* also: the acknowledgement is lost */
#ifdef SPLITREAD
  atomic { grant=row_grant; token=row_token };
#endif

#ifdef EARLYRELEASE
  if :: skip :: atomic { if :: row_fence==fence -> row_phase=FREE :: else -> skip fi }; goto leave fi;
#endif

recover: /* An earlier attempt was cut off: its tokens may lie in the spill. The newest counts. */
#ifdef SPILL
  if
#ifdef BLIND
     :: interrupted -> skip
#endif
     :: interrupted -> look();
     if :: next>0 -> goto leave :: else -> skip fi     /* stored: nothing is sent */
     :: else -> skip fi;
#endif

send:
  if :: skip :: goto crash
     :: /* provably not sent: the lease is released */
        true -> atomic { if :: row_fence==fence -> row_phase=FREE :: else -> skip fi }; goto leave
  fi;
  atomic { under_way[id]=true; awaited[id]=true; sent_grant[id]=grant; sent_token[id]=token; answer[id]=NO_ANSWER };
  if :: answer[id]!=NO_ANSWER -> skip
     :: /* a time-out, or a crash while waiting */
        atomic { awaited[id]=false;
#ifndef LATE
                 under_way[id]=false;
#endif
                 if :: answer[id]==TOKENS -> lost[grant]=true :: else -> skip fi; answer[id]=NO_ANSWER };
        goto crash
  fi;

answered:
  if
  :: answer[id]==INVALID_GRANT -> /* only who holds the fence may give the grant up */
#ifdef SEARCH
       look();                                         /* tokens may have come late */
       if :: next>0 -> goto leave :: else -> skip fi;
#endif
       atomic { if :: row_fence==fence -> row_phase=REAUTHORIZATION_REQUIRED :: else -> skip fi }; goto leave
  :: answer[id]==UNKNOWN -> goto leave                 /* the lease runs out by itself */
  :: answer[id]==TOKENS -> next=answer_token[id]
  fi;

commit: /* Nothing uses the tokens before they are stored. */
  if
  :: true -> atomic { store(grant,next,fence) }; goto leave    /* applied and acknowledged */
  :: true -> atomic { store(grant,next,fence) }; goto spill    /* applied, the acknowledgement lost */
  :: goto spill                                                /* the row is out of reach */
  :: lost[grant]=true; goto crash                              /* killed with the tokens in memory alone */
  fi;

spill:
#ifdef SPILL
  if :: true -> spilled[fence]=1+grant*8+next; goto leave
     :: true -> atomic { if :: (row_stored_fence==fence) -> skip :: else -> lost[grant]=true fi }; goto crash
#ifdef SEARCH
     :: atomic { late==0 -> late=1+grant*8+next; late_fence=fence; lost[grant]=true }; goto leave   /* nobody has it until it comes */
#endif
  fi;
#else
  atomic { assert(row_stored_fence==fence); /* P3 */
           if :: (row_stored_fence==fence) -> skip :: else -> lost[grant]=true fi }; goto crash;
#endif

crash: skip;
leave: atomic { alive[id]=false; awaited[id]=false; next=0 }; goto again;
stop: finished++
}

proctype Provider() {
  byte w;
loop:
  if
  :: under_way[0] -> w=0 :: under_way[1] -> w=1
  :: finished==WORKERS+1 && !under_way[0] && !under_way[1] -> goto out
  fi;
  if
  :: atomic { under_way[w] -> under_way[w]=false;              /* lost before it came here */
       if :: awaited[w] -> answer[w]=UNKNOWN :: else -> skip fi }
  :: atomic { under_way[w] -> under_way[w]=false;
       if
       :: revoked[sent_grant[w]] -> if :: awaited[w] -> answer[w]=INVALID_GRANT :: else -> skip fi
       :: !revoked[sent_grant[w]] && sent_token[w]==live[sent_grant[w]] ->
            live[sent_grant[w]]=live[sent_grant[w]]+1;         /* rotation */
            if :: awaited[w] -> answer_token[w]=live[sent_grant[w]]; answer[w]=TOKENS
               :: awaited[w] -> lost[sent_grant[w]]=true; answer[w]=UNKNOWN     /* the answer is lost */
               :: !awaited[w] -> lost[sent_grant[w]]=true fi
       :: !revoked[sent_grant[w]] && sent_token[w]!=live[sent_grant[w]] ->
            assert(lost[sent_grant[w]]);                       /* P1 */
            revoked[sent_grant[w]]=true;                       /* reuse of a spent token */
            if :: awaited[w] -> answer[w]=INVALID_GRANT :: else -> skip fi
       fi }
  :: !under_way[w] -> skip
  fi;
  goto loop;
out: skip
}

#ifdef SEARCH
proctype Medium() {
  if :: atomic { late>0 -> spilled[late_fence]=late } :: finished==WORKERS+1 fi
}

/* The search of the sweep: one read of the row, one look, one write under the
   fence that was read. What a refresh is at is left to it. */
proctype Search() {
  byte seen, stored_fence, k;
  atomic { seen=row_fence; stored_fence=row_stored_fence;
    if :: row_phase==LEASED && row_holder!=NOBODY && alive[row_holder] -> goto done :: else -> skip fi };
  atomic { k=seen; do :: k>stored_fence && spilled[k]==0 -> k-- :: else -> break od;
    if :: k<=stored_fence -> goto done :: else -> skip fi };
restore: atomic {
    if ::
#ifndef UNFENCED
          row_fence==seen ->
#else
          true ->
#endif
          assert((spilled[k]-1)/8>row_grant || ((spilled[k]-1)/8==row_grant && (spilled[k]-1)%8>=row_token)); /* P2 */
          row_fence++; row_grant=(spilled[k]-1)/8; row_token=(spilled[k]-1)%8; row_stored_fence=row_fence; row_phase=FREE; row_holder=NOBODY
#ifndef UNFENCED
       :: else -> skip
#endif
    fi };
done: skip
}
#endif

/* The person connects again while refreshes run, or does not. */
proctype Callback() {
  if
  :: skip
  :: live[1]=1;
     if :: atomic { row_fence++; row_stored_fence=row_fence; row_grant=1; row_token=1; row_phase=FREE; row_holder=NOBODY; reconnected=true }
        :: lost[1]=true                                        /* a crash between exchange and write */
     fi
  fi; finished++
}

init { byte k;
  atomic { live[0]=0; run Worker(0); run Worker(1); run Provider(); run Callback();
#ifdef SEARCH
           run Medium(); run Search();
#endif
  };
  (finished==WORKERS+1 && !under_way[0] && !under_way[1]);
  /* One more sweep, without faults. */
  atomic {
    if :: row_phase==LEASED ->
#ifdef SPILL
          k=row_fence; do :: k>row_stored_fence && spilled[k]==0 -> k-- :: else -> break od;
          if :: k>row_stored_fence && spilled[k]>0 -> row_grant=(spilled[k]-1)/8; row_token=(spilled[k]-1)%8; row_stored_fence=row_fence; row_phase=FREE
             :: else -> skip fi;
#else
          skip;
#endif
          if :: row_phase==LEASED ->
                if :: !revoked[row_grant] && row_token==live[row_grant] -> live[row_grant]=live[row_grant]+1; row_token=live[row_grant]; row_phase=FREE
                   :: else -> assert(lost[row_grant] || revoked[row_grant]); revoked[row_grant]=true; row_phase=REAUTHORIZATION_REQUIRED fi
             :: else -> skip fi
       :: else -> skip fi;
    assert(row_phase!=LEASED);                                                                                       /* P4 */
    assert(lost[row_grant] || (row_phase==FREE && row_token==live[row_grant] && !revoked[row_grant]));               /* P4 */
    assert(!reconnected || row_grant==1)                                                                             /* P5 */
  }
}
