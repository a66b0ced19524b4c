// A stand-in for lpu_core of preset `nano` with traces: the host port over plain storage, no program execution.
// A run lasts as many cycles as the first word of group 0 says and raises the flags in the second; 0 cycles hang.
// Every third cycle of a run, queue vxm0.i issues with the cycle as its pc and reports the cycle as its digest.
module lpu_core (
    input clk, input rst,
    input host__valid, input host__write, input [31:0] host__addr, input [31:0] host__w_data,
    output host__ready, output [31:0] host__r_data, output host__error, output reg done, output reg running,
    output reg [31:0] cycle,
    output trace__mxm0_w__issue, output [5:0] trace__mxm0_w__pc,
    output trace__mxm0_a__issue, output [5:0] trace__mxm0_a__pc, output trace__mxm0_a__valid, output [31:0] trace__mxm0_a__digest,
    output trace__sxm0__issue, output [5:0] trace__sxm0__pc, output trace__sxm0__valid, output [31:0] trace__sxm0__digest,
    output trace__w0_r__issue, output [5:0] trace__w0_r__pc, output trace__w0_r__valid, output [31:0] trace__w0_r__digest,
    output trace__w0_w__issue, output [5:0] trace__w0_w__pc, output trace__w0_w__valid, output [31:0] trace__w0_w__digest,
    output trace__d0_r__issue, output [5:0] trace__d0_r__pc, output trace__d0_r__valid, output [31:0] trace__d0_r__digest,
    output trace__d0_w__issue, output [5:0] trace__d0_w__pc, output trace__d0_w__valid, output [31:0] trace__d0_w__digest,
    output trace__d1_r__issue, output [5:0] trace__d1_r__pc, output trace__d1_r__valid, output [31:0] trace__d1_r__digest,
    output trace__d1_w__issue, output [5:0] trace__d1_w__pc, output trace__d1_w__valid, output [31:0] trace__d1_w__digest,
    output trace__vxm0_i__issue, output [5:0] trace__vxm0_i__pc, output trace__vxm0_i__valid, output [31:0] trace__vxm0_i__digest,
    output trace__vxm0_q__issue, output [5:0] trace__vxm0_q__pc, output trace__vxm0_q__valid, output [31:0] trace__vxm0_q__digest
);
    reg [31:0] sram [0:4095];
    reg [31:0] program_words [0:8191];
    reg [31:0] errors, cycles;
    reg [1:0] stall;
    wire [1:0] region = host__addr[31:30];
    wire [2:0] register_ = host__addr[2:0];
    wire take = host__valid && host__ready;

    // ready comes and goes, so that a request has to be held
    assign host__ready = stall == 0;
    assign host__error = region == 3 || (region != 0 && running) || (region == 2 && host__addr[29:0] > 4095);
    assign host__r_data = region == 2 ? sram[host__addr[11:0]] : register_ == 4 ? cycles : register_ == 5 ? errors : 0;
    assign trace__vxm0_i__issue = running && cycle % 3 == 0;
    assign trace__vxm0_i__pc = cycle[5:0];
    assign trace__vxm0_i__valid = running && cycle % 3 == 0;
    assign trace__vxm0_i__digest = cycle;

    always @(posedge clk) begin
        stall <= stall == 0 ? host__addr[1:0] : stall - 1;
        if (take && host__write && !host__error) case (region)
            0: begin
                if (register_ == 5) errors <= 0;
                if (register_ == 2) begin running <= 1; done <= 0; cycle <= 0; end
            end
            1: program_words[host__addr[12:0]] <= host__w_data;
            2: sram[host__addr[11:0]] <= host__w_data;
            default: ;
        endcase
        if (running) begin
            cycle <= cycle + 1;
            if (cycle + 1 == sram[0]) begin running <= 0; done <= 1; cycles <= sram[0]; errors <= sram[1]; end
        end
        if (rst) begin running <= 0; done <= 0; stall <= 0; errors <= 0; cycles <= 0; end
    end
endmodule
